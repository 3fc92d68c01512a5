package clickhouse

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/journal"
)

var _ journal.Store = (*DB)(nil)

// notUnderJournal is the condition that a lead is not being erased: until that is
// verified, its rows are nobody's. It stands in every document that sends read by, too.
const notUnderJournal = " AND phone NOT IN (SELECT phone FROM journal WHERE organization_id = {organization:UInt64} AND phone != 0)"

// AppendJournal adds records, in one block: all of them or none.
func (db *DB) AppendJournal(ctx context.Context, org leadevents.OrgID, records ...journal.Record) error {
	if len(records) == 0 {
		return nil
	}
	batch, err := db.batch(waited(ctx), "INSERT INTO journal (organization_id, entry, kind, step, pass, phone, key_id, sieve, sum, counts, layers, lists, batch_id, event_type, run_id)")
	for i := range records {
		r := &records[i]
		if err == nil {
			err = batch.Append(uint64(org), r.Entry, string(r.Kind), string(r.Step), uint32(r.Pass), uint64(r.Phone), r.Hash.KeyID, r.Hash.Sieve, string(r.Hash.Sum[:]),
				map[string]uint64(r.Found.Counts), r.Found.Layers, r.Found.Lists, uint64(r.Batch), r.EventType, r.RunID)
		}
	}
	if err == nil {
		err = batch.Send()
	}
	if err != nil {
		return unavailable(fmt.Errorf("add %d records to the journal: %w", len(records), err))
	}
	return nil
}

// Journal reads the entries of a lead.
func (db *DB) Journal(ctx context.Context, org leadevents.OrgID, hashes []journal.Hash) (logs []journal.Log, err error) {
	var sieves []uint64
	var sums []string
	for _, h := range hashes {
		sieves, sums = append(sieves, h.Sieve), append(sums, fmt.Sprintf("%X", h.Sum))
	}
	p := clickhouse.Parameters{"organization": org.String(), "sieves": parameterNumbers(sieves), "sums": parameterTexts(sums)}
	err = db.stream(ctx, "journal_of", p, func(rows driver.Rows) error {
		r, err := scanJournal(rows)
		logs = grown(logs, r)
		return err
	})
	return logs, err
}

// grown adds a record to the last log, if it is of that entry.
func grown(logs []journal.Log, r journal.Record) []journal.Log {
	if n := len(logs); n > 0 && logs[n-1][0].Entry == r.Entry {
		logs[n-1] = append(logs[n-1], r)
		return logs
	}
	return append(logs, journal.Log{r})
}

// OpenJournal reads the entries that name a phone, of all organizations.
func (db *DB) OpenJournal(ctx context.Context) (map[leadevents.OrgID][]journal.Log, error) {
	open := map[leadevents.OrgID][]journal.Log{}
	err := db.stream(ctx, "journal_open", nil, func(rows driver.Rows) error {
		var id uint64
		r, err := scanJournal(rows, &id)
		open[leadevents.OrgID(id)] = grown(open[leadevents.OrgID(id)], r)
		return err
	})
	return open, err
}

// scanJournal reads the columns that journal_of selects, and what stands before them.
func scanJournal(rows driver.Rows, before ...any) (journal.Record, error) {
	var (
		r          journal.Record
		kind, step string
		pass       uint32
		phone      uint64
		sum        string
		counts     map[string]uint64
		batch      uint64
		written    int64
	)
	err := rows.Scan(append(before, &r.Entry, &kind, &step, &pass, &phone, &r.Hash.KeyID, &r.Hash.Sieve, &sum, &counts, &r.Found.Layers, &r.Found.Lists, &batch, &r.EventType, &r.RunID, &written)...)
	r.Kind, r.Step, r.Pass, r.Phone, r.Found.Counts, r.WrittenAt = journal.Kind(kind), journal.Step(step), int(pass), leadevents.Phone(phone), counts, leadevents.Millis(written)
	r.Batch = leadevents.BatchID(batch)
	copy(r.Hash.Sum[:], sum)
	return r, err
}

// ErasedStamps is a number for each organization that has erased leads.
func (db *DB) ErasedStamps(ctx context.Context) (map[leadevents.OrgID]uint64, error) {
	stamps := map[leadevents.OrgID]uint64{}
	err := db.stream(ctx, "journal_stamps", nil, func(rows driver.Rows) error {
		var org, stamp uint64
		err := rows.Scan(&org, &stamp)
		stamps[leadevents.OrgID(org)] = stamp
		return err
	})
	return stamps, err
}

// ErasedHashes reads by what an organization's erased leads are known.
func (db *DB) ErasedHashes(ctx context.Context, org leadevents.OrgID) (hashes []journal.Hash, err error) {
	err = db.stream(ctx, "journal_hashes", clickhouse.Parameters{"organization": org.String()}, func(rows driver.Rows) error {
		var h journal.Hash
		var sum string
		err := rows.Scan(&h.KeyID, &h.Sieve, &sum)
		copy(h.Sum[:], sum)
		hashes = append(hashes, h)
		return err
	})
	return hashes, err
}

// Unpurged reads the entries whose rows may still lie in parts.
func (db *DB) Unpurged(ctx context.Context) (all []journal.Unpurged, err error) {
	err = db.stream(ctx, "journal_unpurged", nil, func(rows driver.Rows) error {
		var org uint64
		var u journal.Unpurged
		var kind string
		var at int64
		err := rows.Scan(&org, &u.Entry, &kind, &at)
		u.Org, u.Kind, u.VerifiedAt = leadevents.OrgID(org), journal.Kind(kind), leadevents.Millis(at)
		all = append(all, u)
		return err
	})
	return all, err
}

// ofEntries are the parameters of what reads phones from the journal.
func ofEntries(org leadevents.OrgID, entries []uint64) clickhouse.Parameters {
	return clickhouse.Parameters{"organization": org.String(), "entries": parameterNumbers(entries)}
}

// journaled reads the phones that entries name.
func (db *DB) journaled(ctx context.Context, org leadevents.OrgID, entries []uint64) (phones map[leadevents.Phone][]uint64, err error) {
	phones = map[leadevents.Phone][]uint64{}
	err = db.query(ctx, "read the phones of the journal", "SELECT phone, entry FROM journal WHERE "+ofOrganization+" AND entry IN {entries:Array(UInt64)} AND phone != 0",
		ofEntries(org, entries), func(rows driver.Rows) error {
			var phone, entry uint64
			err := rows.Scan(&phone, &entry)
			phones[leadevents.Phone(phone)] = append(phones[leadevents.Phone(phone)], entry)
			return err
		})
	return phones, err
}

// query is stream of a statement that is too short for a document.
func (db *DB) query(ctx context.Context, what, statement string, p clickhouse.Parameters, f func(driver.Rows) error) error {
	rows, err := db.conn.Query(params(ctx, p), statement)
	if err != nil {
		return unavailable(fmt.Errorf("%s: %w", what, err))
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return unavailable(fmt.Errorf("%s: %w", what, err))
	}
	return nil
}

// Collect looks for rows of the phones that entries name.
func (db *DB) Collect(ctx context.Context, org leadevents.OrgID, entries []uint64) (map[uint64]journal.Found, error) {
	phones, err := db.journaled(ctx, org, entries)
	if err != nil {
		return nil, err
	}
	found := make(map[uint64]journal.Found, len(entries))
	note := func(phone leadevents.Phone, what string, owner, n uint64) {
		for _, entry := range phones[phone] {
			f := found[entry]
			if f.Counts == nil {
				f.Counts = journal.Counts{}
			}
			f.Counts[what] += n
			switch what {
			case journal.AudienceRows:
				f.Layers = append(f.Layers, owner)
			case journal.ListRows:
				f.Lists = append(f.Lists, owner)
			}
			found[entry] = f
		}
	}
	err = db.stream(ctx, "journal_collect", ofEntries(org, entries), func(rows driver.Rows) error {
		var what string
		var phone, owner, n uint64
		err := rows.Scan(&what, &phone, &owner, &n)
		note(leadevents.Phone(phone), what, owner, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = db.rejectsOf(ctx, org, phones, func(phone leadevents.Phone, _ string, n uint64) { note(phone, journal.Rejects, 0, n) })
	return found, err
}

// Writers are the statements that write into this database now.
func (db *DB) Writers(ctx context.Context) (ids []string, err error) {
	err = db.stream(ctx, "journal_writers", nil, func(rows driver.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// EndedWriters tells whether none of them runs any more.
func (db *DB) EndedWriters(ctx context.Context, ids []string) (bool, error) {
	var n uint64
	err := db.stream(ctx, "journal_writers_left", clickhouse.Parameters{"ids": parameterTexts(ids)}, func(rows driver.Rows) error { return rows.Scan(&n) })
	return err == nil && n == 0, err
}

// Purge writes every part anew in which deleted rows are only masked. It may take as
// long as a merge of all of them.
func (db *DB) Purge(ctx context.Context) error {
	var tables []string
	err := db.stream(ctx, "parts_masked", nil, func(rows driver.Rows) error {
		var table string
		err := rows.Scan(&table)
		tables = append(tables, table)
		return err
	})
	for _, table := range tables {
		if err == nil {
			err = db.silently(params(ctx, clickhouse.Parameters{"table": table}), "ALTER TABLE {table:Identifier} APPLY DELETED MASK SETTINGS mutations_sync = 2")
		}
	}
	if err != nil {
		return unavailable(fmt.Errorf("write parts anew without their deleted rows: %w", err))
	}
	return nil
}

// Purged tells whether the parts that were replaced until a moment have left the disk.
func (db *DB) Purged(ctx context.Context, since leadevents.Millis) (bool, error) {
	var n uint64
	err := db.stream(ctx, "parts_outlived", clickhouse.Parameters{"since": strconv.FormatInt(int64(since), 10)}, func(rows driver.Rows) error { return rows.Scan(&n) })
	return err == nil && n == 0, err
}

// hexOf is a hash as a parameter that the server makes bytes of.
func hexOf(hash [32]byte) string { return hex.EncodeToString(hash[:]) }
