package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/journal"
	"leadevents/query/audience"
)

var _ journal.UndoStore = (*DB)(nil)

// clockSlack is how far the clock that stamps rows may be ahead of this one: the ledger's
// margin.
const clockSlack = 5_000

// sealing is more than a request may take from its stamp to its end, in ms.
const sealing = 600_000

// undoParameters are those of the documents undo_….
func undoParameters(org leadevents.OrgID, of []journal.Undoing) clickhouse.Parameters {
	var entries, batches []uint64
	var types []string
	from, to, first, begun := leadevents.Millis(leadevents.MaxOccurredAt), leadevents.Millis(0), leadevents.Millis(leadevents.MaxOccurredAt), leadevents.Millis(0)
	for _, b := range of {
		entries, batches, types = append(entries, b.Entry), append(batches, uint64(b.Batch)), append(types, b.EventType)
		from, to, begun = min(from, b.StoredFrom), max(to, b.StoredTo), max(begun, b.BegunAt)
		first = min(first, b.BegunAt)
	}
	slices.Sort(types)
	return clickhouse.Parameters{
		"organization": org.String(), "entries": parameterNumbers(entries), "batches": parameterNumbers(batches), "types": parameterTexts(slices.Compact(types)),
		"from": strconv.FormatInt(int64(from), 10), "to": strconv.FormatInt(int64(to), 10), "begun": strconv.FormatInt(int64(begun)+clockSlack, 10), "since": strconv.FormatInt(max(int64(first)-sealing, 0), 10),
	}
}

// Undos reads the entries that undo batches.
func (db *DB) Undos(ctx context.Context, org leadevents.OrgID, batches []leadevents.BatchID) (logs []journal.Log, err error) {
	ids := make([]uint64, len(batches))
	for i, b := range batches {
		ids[i] = uint64(b)
	}
	err = db.stream(ctx, "undo_of", clickhouse.Parameters{"organization": org.String(), "batches": parameterNumbers(ids)}, func(rows driver.Rows) error {
		r, err := scanJournal(rows)
		logs = grown(logs, r)
		return err
	})
	return logs, err
}

// OpenUndos reads the entries of undos that are not verified, of all organizations.
func (db *DB) OpenUndos(ctx context.Context) (map[leadevents.OrgID][]journal.Log, error) {
	open := map[leadevents.OrgID][]journal.Log{}
	err := db.stream(ctx, "undo_open", nil, func(rows driver.Rows) error {
		var id uint64
		r, err := scanJournal(rows, &id)
		open[leadevents.OrgID(id)] = grown(open[leadevents.OrgID(id)], r)
		return err
	})
	return open, err
}

// BatchBegun tells whether a batch has an Idempotency-Key that is not forgotten.
func (db *DB) BatchBegun(ctx context.Context, org leadevents.OrgID, batch leadevents.BatchID) (begun bool, err error) {
	err = db.query(ctx, "look for a batch's Idempotency-Key", "SELECT count() > 0 FROM idempotency_keys WHERE "+ofOrganization+" AND batch_id = {batch:UInt64}",
		clickhouse.Parameters{"organization": org.String(), "batch": batch.String()}, func(rows driver.Rows) error { return rows.Scan(&begun) })
	return begun, err
}

// SendRuns reads the runs of sends that are done or under way, of those whose asOf is not
// before since.
func (db *DB) SendRuns(ctx context.Context, org leadevents.OrgID, since leadevents.Millis) (runs []journal.SendRun, err error) {
	p := clickhouse.Parameters{"organization": org.String(), "since": strconv.FormatInt(int64(since), 10)}
	err = db.stream(ctx, "undo_sends", p, func(rows driver.Rows) error {
		var r journal.SendRun
		var asOf int64
		var done bool
		var reference, filters string
		err := rows.Scan(&r.Send, &r.Run, &asOf, &done, &reference, &filters)
		r.AsOf, r.Done = leadevents.Millis(asOf), done
		if err == nil {
			r.Audience, err = audience.DecodeReference([]byte(reference), "audience")
		}
		if err == nil {
			r.Filters, err = audience.DecodeFilters([]byte(filters), "eventFilters")
		}
		runs = append(runs, r)
		return err
	})
	return runs, err
}

// RunHas tells whether a send's run asked about a lead of some batches.
func (db *DB) RunHas(ctx context.Context, org leadevents.OrgID, run uint64, of []journal.Undoing) (has bool, err error) {
	p := undoParameters(org, of)
	p["run"] = strconv.FormatUint(run, 10)
	err = db.stream(ctx, "undo_run_has", p, func(rows driver.Rows) error { return rows.Scan(&has) })
	return has, err
}

// Claimed are the batches that have won a key from one without a receipt.
func (db *DB) Claimed(ctx context.Context, org leadevents.OrgID, of []journal.Undoing) (batches []leadevents.BatchID, err error) {
	err = db.stream(ctx, "undo_claimed", undoParameters(org, of), func(rows driver.Rows) error {
		var batch uint64
		err := rows.Scan(&batch)
		batches = append(batches, leadevents.BatchID(batch))
		return err
	})
	return batches, err
}

// UndoneKeys hands on which keys were written down, with the batches of their rows.
func (db *DB) UndoneKeys(ctx context.Context, org leadevents.OrgID, of []journal.Undoing, f func([]leadevents.Key, []leadevents.BatchID) error) error {
	var keys []leadevents.Key
	var batches []leadevents.BatchID
	names := map[string]string{} // one copy of each event type
	err := db.stream(ctx, "undo_keys", undoParameters(org, of), func(rows driver.Rows) error {
		var name string
		var phone, batch uint64
		var at int64
		if err := rows.Scan(&name, &phone, &at, &batch); err != nil {
			return err
		}
		if names[name] == "" {
			names[name] = name
		}
		keys = append(keys, leadevents.Key{Org: org, EventType: names[name], Phone: leadevents.Phone(phone), OccurredAt: leadevents.Millis(at)})
		batches = append(batches, leadevents.BatchID(batch))
		if len(keys) < streamPiece {
			return nil
		}
		err := f(keys, batches)
		keys, batches = keys[:0], batches[:0]
		return err
	})
	if err != nil || len(keys) == 0 {
		return err
	}
	return f(keys, batches)
}

// LeftUndone is how many of the rows are there, and how many states are not what they
// should be.
func (db *DB) LeftUndone(ctx context.Context, org leadevents.OrgID, of []journal.Undoing) (rows, states uint64, err error) {
	if rows, err = db.undoNumber(ctx, "undo_left", undoParameters(org, of)); err != nil {
		return 0, 0, err
	}
	states, err = db.undoNumber(ctx, "undo_states_left", undoParameters(org, of))
	return rows, states, err
}

// Unsettled is how many rows there are of the keys whose batches may still be sealing.
func (db *DB) Unsettled(ctx context.Context, org leadevents.OrgID, of []journal.Undoing, settled, until leadevents.Millis) (uint64, error) {
	p := undoParameters(org, of)
	p["settled"], p["until"] = strconv.FormatInt(int64(settled), 10), strconv.FormatInt(int64(until)+clockSlack, 10)
	return db.undoNumber(ctx, "undo_unsettled", p)
}

func (db *DB) undoNumber(ctx context.Context, document string, p clickhouse.Parameters) (n uint64, err error) {
	err = db.stream(ctx, document, p, func(rows driver.Rows) error { return rows.Scan(&n) })
	return n, err
}

// undoWrite runs a document that stores something, once: of a block that was stored
// before and deleted since, ClickHouse would say that it has it.
func (db *DB) undoWrite(ctx context.Context, document string, p clickhouse.Parameters) error {
	ctx = clickhouse.Context(params(ctx, p), clickhouse.WithSettings(clickhouse.Settings{
		"async_insert": 0, "insert_deduplicate": 0, "max_bytes_before_external_group_by": 256 << 20,
	}))
	if err := db.conn.Exec(ctx, sqlText(document)); err != nil {
		return unavailable(fmt.Errorf("run %s: %w", document, err))
	}
	return nil
}
