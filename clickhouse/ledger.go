package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/ingest/ledger"
)

// streamPiece is how many keys a rebuild handles at once: 50,000 keys are 2 MB
// here and about 50 ms of Redis' time.
const streamPiece = 50_000

var _ ledger.Archive = (*DB)(nil)

// Examine reads what ClickHouse knows of the ledger.
func (db *DB) Examine(ctx context.Context) (ledger.ArchiveState, error) {
	var (
		s                  ledger.ArchiveState
		beat, now, started int64
		empty              uint8
	)
	err := db.conn.QueryRow(ctx, sqlText("ledger_examine")).Scan(&s.Table, &empty, &s.Number, &s.Record, &beat, &now, &started, &s.Server)
	if err != nil {
		return s, unavailable(fmt.Errorf("examine the ledger's records: %w", err))
	}
	s.Empty = empty == 1
	s.Beat, s.Now, s.Started = leadevents.Millis(beat), leadevents.Millis(now), leadevents.Millis(started)
	return s, nil
}

// NameServer gives this start of the server a random name. Two at once give it two
// names, of which the greater counts.
func (db *DB) NameServer(ctx context.Context) error {
	if err := db.conn.Exec(ctx, `INSERT INTO server_starts SELECT rand64()`); err != nil {
		return unavailable(fmt.Errorf("name the server's start: %w", err))
	}
	return nil
}

// SaveTrust adds a trust record; the newest number counts.
func (db *DB) SaveTrust(ctx context.Context, number uint64, record string) error {
	if err := db.conn.Exec(ctx, `INSERT INTO ledger_trust (number, record) VALUES (?, ?)`, number, record); err != nil {
		return unavailable(fmt.Errorf("save trust record %d: %w", number, err))
	}
	return nil
}

// SaveBeat adds a heartbeat.
func (db *DB) SaveBeat(ctx context.Context, beat leadevents.Millis) error {
	err := db.conn.Exec(params(ctx, clickhouse.Parameters{"beat": strconv.FormatInt(int64(beat), 10)}),
		`INSERT INTO ledger_beats SELECT fromUnixTimestamp64Milli({beat:Int64})`)
	if err != nil {
		return unavailable(fmt.Errorf("save the heartbeat: %w", err))
	}
	return nil
}

// StreamKeys reads the keys of a stretch of time, of all organizations, in
// pieces of 50,000; f must not keep them.
func (db *DB) StreamKeys(ctx context.Context, from, to, ingestedSince leadevents.Millis, f func([]leadevents.Key, []leadevents.BatchID) error) error {
	keys := make([]leadevents.Key, 0, streamPiece)
	batches := make([]leadevents.BatchID, 0, streamPiece)
	flush := func() error {
		if len(keys) == 0 {
			return nil
		}
		err := f(keys, batches)
		keys, batches = keys[:0], batches[:0]
		return err
	}
	names := map[string]string{} // one copy of each event type
	err := db.stream(ctx, "ledger_keys", stretch(from, to, ingestedSince), func(rows driver.Rows) error {
		key, batch, _, err := scanKey(rows, names, 1)
		if err != nil {
			return err
		}
		keys, batches = append(keys, key), append(batches, batch)
		if len(keys) == streamPiece {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// StreamContests reads the contests of a stretch of time, of all organizations.
func (db *DB) StreamContests(ctx context.Context, from, to leadevents.Millis, f func([]leadevents.Contest) error) error {
	var contests []leadevents.Contest
	names := map[string]string{}
	err := db.stream(ctx, "ledger_contests", stretch(from, to, 0), func(rows driver.Rows) error {
		key, winner, loser, err := scanKey(rows, names, 2)
		if err != nil {
			return err
		}
		contests = append(contests, leadevents.Contest{Key: key, Winner: winner, Loser: loser})
		if len(contests) < streamPiece {
			return nil
		}
		err = f(contests)
		contests = contests[:0]
		return err
	})
	if err != nil || len(contests) == 0 {
		return err
	}
	return f(contests)
}

// LackReceipts returns those of the answers whose receipts are not here.
func (db *DB) LackReceipts(ctx context.Context, answers []ledger.Landed) ([]ledger.Landed, error) {
	var organizations, batches []uint64
	for _, a := range answers {
		organizations, batches = append(organizations, uint64(a.Org)), append(batches, uint64(a.Batch))
	}
	p := clickhouse.Parameters{"organizations": parameterNumbers(organizations), "batches": parameterNumbers(batches)}
	type batch struct{ org, id uint64 }
	here := map[batch]bool{}
	err := db.stream(ctx, "receipts_present", p, func(rows driver.Rows) error {
		var b batch
		err := rows.Scan(&b.org, &b.id)
		here[b] = true
		return err
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(answers), func(a ledger.Landed) bool {
		return here[batch{uint64(a.Org), uint64(a.Batch)}]
	}), nil
}

// RepairStates adds the states of the rows of a stretch. However many they are,
// the server needs 256 MiB for it, and disk beyond.
func (db *DB) RepairStates(ctx context.Context, s ledger.Stretch) error {
	p := stretch(s.From, s.To, s.IngestedSince)
	p["ingested_until"] = strconv.FormatInt(int64(s.IngestedUntil), 10)
	ctx = clickhouse.Context(params(ctx, p), clickhouse.WithSettings(clickhouse.Settings{"max_bytes_before_external_group_by": 256 << 20}))
	if err := db.conn.Exec(ctx, sqlText("states_repair")); err != nil {
		return unavailable(fmt.Errorf("repair states: %w", err))
	}
	return nil
}

func stretch(from, to, ingestedSince leadevents.Millis) clickhouse.Parameters {
	return clickhouse.Parameters{
		"from":           strconv.FormatInt(int64(from), 10),
		"to":             strconv.FormatInt(int64(to), 10),
		"ingested_since": strconv.FormatInt(int64(max(ingestedSince, 0)), 10),
	}
}

// scanKey reads a key and one or two batch ids behind it.
func scanKey(rows driver.Rows, names map[string]string, batches int) (key leadevents.Key, first, second leadevents.BatchID, err error) {
	var (
		org, phone, a, b uint64
		eventType        string
		occurred         int64
	)
	if batches == 2 {
		err = rows.Scan(&org, &eventType, &phone, &occurred, &a, &b)
	} else {
		err = rows.Scan(&org, &eventType, &phone, &occurred, &a)
	}
	name, ok := names[eventType]
	if !ok {
		name = eventType
		names[name] = name
	}
	return leadevents.Key{
		Org: leadevents.OrgID(org), EventType: name,
		Phone: leadevents.Phone(phone), OccurredAt: leadevents.Millis(occurred),
	}, leadevents.BatchID(a), leadevents.BatchID(b), err
}

// stream runs a document and hands its rows on. Rows are read to their end or
// closed before the context is cancelled: the other order panics in clickhouse-go
// (its pull request 1677).
func (db *DB) stream(ctx context.Context, document string, p clickhouse.Parameters, f func(driver.Rows) error) error {
	rows, err := db.conn.Query(params(ctx, p), sqlText(document))
	if err != nil {
		return unavailable(fmt.Errorf("run %s: %w", document, err))
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return fmt.Errorf("read %s: %w", document, err)
		}
	}
	if err := rows.Err(); err != nil {
		return unavailable(fmt.Errorf("read %s: %w", document, err))
	}
	return nil
}
