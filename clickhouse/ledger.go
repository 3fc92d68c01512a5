package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/ingest/ledger"
)

// streamPiece is how many contests a rebuild handles at once: 50,000 keys are 2 MB
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

// StreamKeys reads the keys of a stretch, of all organizations, in blocks of some
// 65,000; f must not keep them. By columns: a Scan a row took 1 µs, a fifth of a rebuild.
func (db *DB) StreamKeys(ctx context.Context, s ledger.Stretch, f func([]leadevents.Key, []leadevents.BatchID) error) error {
	var (
		orgs, phones, owners proto.ColUInt64
		at                   proto.ColInt64
		types                proto.ColStr
		keys                 []leadevents.Key
		batches              []leadevents.BatchID
		names                = map[string]string{} // one copy of each event type
	)
	err := db.columns(ctx, columnQuery{
		text: sqlText("ledger_keys"), parameters: stretch(s),
		into: proto.Results{{Name: "organization", Data: &orgs}, {Name: "type", Data: &types}, {Name: "phone", Data: &phones}, {Name: "at", Data: &at}, {Name: "batch", Data: &owners}},
		block: func() error {
			keys, batches = keys[:0], batches[:0]
			for i, org := range orgs {
				text := types.Buf[types.Pos[i].Start:types.Pos[i].End]
				name, known := names[string(text)]
				if !known {
					name = string(text)
					names[name] = name
				}
				keys = append(keys, leadevents.Key{Org: leadevents.OrgID(org), EventType: name, Phone: leadevents.Phone(phones[i]), OccurredAt: leadevents.Millis(at[i])})
				batches = append(batches, leadevents.BatchID(owners[i]))
			}
			if len(keys) == 0 {
				return nil
			}
			return f(keys, batches)
		},
	})
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	return nil
}

// LatestStamp implements ledger.Archive.
func (db *DB) LatestStamp(ctx context.Context, since leadevents.Millis) (leadevents.Millis, error) {
	var at int64
	err := db.conn.QueryRow(params(ctx, clickhouse.Parameters{"since": strconv.FormatInt(int64(since), 10)}), sqlText("ledger_latest_stamp")).Scan(&at)
	if err != nil {
		return 0, unavailable(fmt.Errorf("read the latest stamp: %w", err))
	}
	return leadevents.Millis(at), nil
}

// StreamContests reads the contests of a stretch of time, of all organizations.
func (db *DB) StreamContests(ctx context.Context, from, to leadevents.Millis, f func([]leadevents.Contest) error) error {
	var contests []leadevents.Contest
	names := map[string]string{}
	err := db.stream(ctx, "ledger_contests", stretch(ledger.Stretch{From: from, To: to}), func(rows driver.Rows) error {
		key, winner, loser, err := scanContest(rows, names)
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

// RepairStates adds the states of the rows of a stretch, without receipted only of those
// whose batch has no receipt. However many they are, the server needs 256 MiB for it, and
// disk beyond.
func (db *DB) RepairStates(ctx context.Context, s ledger.Stretch, receipted bool) error {
	document := "states_repair_unreceipted"
	if receipted {
		document = "states_repair"
	}
	ctx = clickhouse.Context(params(ctx, stretch(s)), clickhouse.WithSettings(clickhouse.Settings{"max_bytes_before_external_group_by": 256 << 20}))
	if err := db.conn.Exec(ctx, sqlText(document)); err != nil {
		return unavailable(fmt.Errorf("repair states: %w", err))
	}
	return nil
}

func stretch(s ledger.Stretch) clickhouse.Parameters {
	return clickhouse.Parameters{
		"from":           strconv.FormatInt(int64(s.From), 10),
		"to":             strconv.FormatInt(int64(s.To), 10),
		"ingested_since": strconv.FormatInt(int64(max(s.IngestedSince, 0)), 10),
		"ingested_until": strconv.FormatInt(int64(s.IngestedUntil), 10),
	}
}

// scanContest reads a key and the two batches of its contest.
func scanContest(rows driver.Rows, names map[string]string) (key leadevents.Key, first, second leadevents.BatchID, err error) {
	var (
		org, phone, a, b uint64
		eventType        string
		occurred         int64
	)
	err = rows.Scan(&org, &eventType, &phone, &occurred, &a, &b)
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
