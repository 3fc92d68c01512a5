package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/internal/loadgen"
)

const batchRows = 50_000

// experiment is the tables, the load, and what has been measured.
type experiment struct {
	conn     driver.Conn
	variants []variant
	history  *loadgen.Generator // most of the rows: a backfill of three years in no order, calls of 50,000
	live     *loadgen.Generator // the last fifth: the last 30 days as they came, calls of 20
	rows     uint64
	now      leadevents.Millis
	times    map[string][]time.Duration // by operation + "\t" + variant
}

const (
	typeMeasured = "page_view" // the most frequent: a third of the rows
	operationSep = "\t"
)

func newExperiment(conn driver.Conn, rows uint64, only string) (*experiment, error) {
	now := leadevents.MillisOf(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC))
	liveRows := rows / 5
	month := loadgen.Times{From: now.Add(-30 * 24 * time.Hour), To: now, InOrder: liveRows}
	history, err := loadgen.New(loadgen.Config{
		Seed: 1, Org: 42, Leads: rows / 10, Repeats: 20, Times: loadgen.History(now, 3, 0),
	})
	if err != nil {
		return nil, err
	}
	live, err := loadgen.New(loadgen.Config{
		Seed: 2, Org: 42, Leads: rows / 10, Repeats: 20, BatchRows: 20, Times: month,
	})
	if err != nil {
		return nil, err
	}
	e := &experiment{
		conn: conn, history: history, live: live, rows: rows, now: now, times: map[string][]time.Duration{},
	}
	for _, v := range variants() {
		if v.name == "base" || only == "" || strings.Contains(","+only+",", ","+v.name+",") {
			e.variants = append(e.variants, v)
		}
	}
	return e, nil
}

// load fills every variant with the same rows and waits until its merges rest.
func (e *experiment) load(ctx context.Context) error {
	for i := range e.variants {
		v := &e.variants[i]
		if err := e.exec(ctx, v.createSQL()); err != nil {
			return fmt.Errorf("create %s: %w", v.name, err)
		}
		began := time.Now()
		liveRows := e.rows / 5
		for _, sql := range []string{e.history.SelectSQL(0, e.rows-liveRows), e.live.SelectSQL(0, liveRows)} {
			list := strings.Replace(loadgen.Columns, "event_type", v.typeSQL("event_type"), 1)
			err := e.exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM (%s)", v.table(), loadgen.Columns, list, sql))
			if err != nil {
				return fmt.Errorf("load %s: %w", v.name, err)
			}
		}
		if err := e.waitForMerges(ctx); err != nil {
			return err
		}
		e.add("load, merges included", v.name, time.Since(began))
		progress("loaded %s in %s", v.name, time.Since(began).Round(time.Second))
	}
	return e.exec(ctx, "SYSTEM STOP MERGES")
}

func (e *experiment) waitForMerges(ctx context.Context) error {
	for quiet := 0; quiet < 5; {
		var merges uint64
		if err := e.conn.QueryRow(ctx, "SELECT count() FROM system.merges").Scan(&merges); err != nil {
			return err
		}
		quiet++
		if merges > 0 {
			quiet = 0
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

// keys are half stored, half not, in no order.
type keys struct {
	phones     []uint64
	occurredAt []int64
}

// sampleKeys takes stored keys of the measured type within days before now, and
// as many that are not stored: the same leads a millisecond later.
func (e *experiment) sampleKeys(ctx context.Context, daysAgo, days int) (*keys, error) {
	to := e.now.Add(-time.Duration(daysAgo) * 24 * time.Hour)
	rows, err := e.conn.Query(ctx, fmt.Sprintf(`SELECT phone, toUnixTimestamp64Milli(occurred_at) FROM %s
		WHERE event_type = '%s' AND occurred_at >= fromUnixTimestamp64Milli(%d) AND occurred_at < fromUnixTimestamp64Milli(%d)
		ORDER BY cityHash64(phone, occurred_at) LIMIT %d`,
		e.variants[0].table(), typeMeasured, to.Add(-time.Duration(days)*24*time.Hour), to, batchRows/2))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	k := &keys{}
	for rows.Next() {
		var phone uint64
		var at int64
		if err := rows.Scan(&phone, &at); err != nil {
			return nil, err
		}
		k.phones = append(k.phones, phone, phone)
		k.occurredAt = append(k.occurredAt, at, at+1)
	}
	if len(k.phones) != batchRows {
		return nil, fmt.Errorf("only %d stored keys in %d days: more --rows are needed", len(k.phones)/2, days)
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(k.phones), func(i, j int) {
		k.phones[i], k.phones[j] = k.phones[j], k.phones[i]
		k.occurredAt[i], k.occurredAt[j] = k.occurredAt[j], k.occurredAt[i]
	})
	return k, rows.Err()
}

// coldCheck is the query of the write path (clickhouse/sql/keys_find.sql) for keys of few days.
func (e *experiment) coldCheck(ctx context.Context, v *variant, k *keys) error {
	table, err := ext.NewTable("keys", ext.Column("occurred_at", "DateTime64(3, 'UTC')"), ext.Column("phone", "UInt64"))
	if err != nil {
		return err
	}
	if _, err := table.Block().Columns[0].Append(k.occurredAt); err != nil {
		return err
	}
	if _, err := table.Block().Columns[1].Append(k.phones); err != nil {
		return err
	}
	return e.drain(clickhouse.Context(ctx, clickhouse.WithExternalTable(table)), fmt.Sprintf(
		`SELECT occurred_at, phone, batch_id, ingested_at FROM %s
		WHERE organization_id = 42 AND event_type = %s AND (occurred_at, phone) IN keys`, v.table(), v.typeSQL("'"+typeMeasured+"'")))
}

// insert is the insert of the write path: 50,000 rows, columnar, one block.
func (e *experiment) insert(ctx context.Context, v *variant, g *loadgen.Generator, batch uint64) error {
	prepared, err := e.conn.PrepareBatch(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"async_insert": 0, "low_cardinality_allow_in_native_format": 0,
	})), fmt.Sprintf("INSERT INTO %s (%s)", v.table(), loadgen.Columns))
	if err != nil {
		return err
	}
	var (
		orgs, phones, batches = make([]uint64, batchRows), make([]uint64, batchRows), make([]uint64, batchRows)
		at, ingested          = make([]int64, batchRows), make([]int64, batchRows)
		types, metadata       = make([]string, batchRows), make([]string, batchRows)
		ids                   = make([]uint16, batchRows)
		event                 loadgen.Event
	)
	for i := range batchRows {
		g.Event(batch*batchRows+uint64(i), &event)
		orgs[i], phones[i], batches[i] = 42, uint64(event.Phone), uint64(event.Batch)
		at[i], ingested[i] = int64(event.OccurredAt), int64(event.Arrived)
		types[i], metadata[i] = event.EventType, string(event.Metadata)
	}
	values := []any{orgs, types, phones, at, metadata, ingested, batches}
	if v.typeIDs {
		values[1] = ids
	}
	began := time.Now()
	for i, column := range values {
		if err := prepared.Column(i).Append(column); err != nil {
			return err
		}
	}
	if err := prepared.Send(); err != nil {
		return err
	}
	e.add(insertName(g == e.history), v.name, time.Since(began))
	return nil
}

func insertName(history bool) string {
	if history {
		return "insert 50,000 over three years"
	}
	return "insert 50,000 of minutes"
}

// measure runs every operation on every variant in turn, rounds times.
func (e *experiment) measure(ctx context.Context, rounds int) error {
	// The stored share of "days" is live traffic, that of "a year" backfill.
	ofDays, err := e.sampleKeys(ctx, 0, 2)
	if err != nil {
		return err
	}
	ofYear, err := e.sampleKeys(ctx, 60, 365)
	if err != nil {
		return err
	}
	from, to := e.now.Add(-2*time.Hour), e.now
	where := func(v *variant) string {
		return fmt.Sprintf("organization_id = 42 AND event_type = %s", v.typeSQL("'"+typeMeasured+"'"))
	}
	window := fmt.Sprintf("occurred_at BETWEEN fromUnixTimestamp64Milli(%d) AND fromUnixTimestamp64Milli(%d)", from, to)
	month := fmt.Sprintf("occurred_at >= fromUnixTimestamp64Milli(%d) AND occurred_at < fromUnixTimestamp64Milli(%d)",
		e.now.Add(-400*24*time.Hour), e.now.Add(-370*24*time.Hour))
	lead := uint64(e.history.Phone(12345))
	queries := []struct {
		name string
		run  func(v *variant) error
	}{
		{"cold check, keys of two days", func(v *variant) error { return e.coldCheck(ctx, v, ofDays) }},
		{"cold check, keys of a year", func(v *variant) error { return e.coldCheck(ctx, v, ofYear) }},
		{"leads of the last 120 minutes", func(v *variant) error {
			return e.drain(ctx, fmt.Sprintf("SELECT DISTINCT phone FROM %s WHERE %s AND %s", v.table(), where(v), window))
		}},
		{"timeline of a lead, FINAL WHERE", func(v *variant) error {
			return e.drain(ctx, fmt.Sprintf("SELECT %s FROM %s FINAL WHERE organization_id = 42 AND phone = %d ORDER BY occurred_at DESC", loadgen.Columns, v.table(), lead))
		}},
		{"timeline of a lead, FINAL PREWHERE", func(v *variant) error {
			return e.drain(ctx, fmt.Sprintf("SELECT %s FROM %s FINAL PREWHERE organization_id = 42 AND phone = %d ORDER BY occurred_at DESC", loadgen.Columns, v.table(), lead))
		}},
		{"timeline of a lead, LIMIT 1 BY key", func(v *variant) error {
			return e.drain(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE organization_id = 42 AND phone = %d ORDER BY occurred_at DESC, event_type LIMIT 1 BY occurred_at, event_type", loadgen.Columns, v.table(), lead))
		}},
		{"events of a lead and a type, LIMIT 1 BY key", func(v *variant) error {
			return e.drain(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE %s AND phone = %d ORDER BY occurred_at DESC LIMIT 1 BY occurred_at", loadgen.Columns, v.table(), where(v), lead))
		}},
		{"newest 100 of a type, FINAL", func(v *variant) error {
			return e.drain(ctx, fmt.Sprintf("SELECT %s FROM %s FINAL WHERE %s ORDER BY occurred_at DESC LIMIT 100", loadgen.Columns, v.table(), where(v)))
		}},
		{"newest 100 of a type, LIMIT 1 BY key", func(v *variant) error {
			return e.drain(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY occurred_at DESC, phone LIMIT 1 BY occurred_at, phone LIMIT 100", loadgen.Columns, v.table(), where(v)))
		}},
		{"count of a type, distinct keys", func(v *variant) error {
			return e.drain(ctx, fmt.Sprintf("SELECT count() FROM (SELECT DISTINCT occurred_at, phone FROM %s WHERE %s)", v.table(), where(v)))
		}},
		{"count of a type, plain", func(v *variant) error {
			return e.drain(ctx, fmt.Sprintf("SELECT count() FROM %s WHERE %s", v.table(), where(v)))
		}},
		{"count of a type, FINAL", func(v *variant) error {
			return e.drain(ctx, fmt.Sprintf("SELECT count() FROM %s FINAL WHERE %s", v.table(), where(v)))
		}},
		{"daily counts and leads of a month, FINAL", func(v *variant) error {
			return e.drain(ctx, fmt.Sprintf("SELECT toDate(occurred_at) AS day, event_type, count(), uniq(phone) FROM %s FINAL WHERE organization_id = 42 AND %s GROUP BY ALL", v.table(), month))
		}},
		{"sum over the metadata of a type, FINAL", func(v *variant) error {
			return e.drain(ctx, fmt.Sprintf("SELECT sum(JSONExtractFloat(metadata, 'amountUsd')) FROM %s FINAL WHERE organization_id = 42 AND event_type = %s", v.table(), v.typeSQL("'mastery_purchase'")))
		}},
	}
	for round := range rounds + 1 {
		for _, q := range queries {
			for _, i := range rand.Perm(len(e.variants)) {
				v := &e.variants[i]
				began := time.Now()
				if err := q.run(v); err != nil {
					return fmt.Errorf("%s on %s: %w", q.name, v.name, err)
				}
				if round > 0 { // the first is for warming up
					e.add(q.name, v.name, time.Since(began))
				}
			}
		}
		progress("round %d of %d", round, rounds)
	}
	// Inserts last: their parts stay unmerged.
	for round := range rounds {
		for _, i := range rand.Perm(len(e.variants)) {
			for _, g := range []*loadgen.Generator{e.history, e.live} {
				batch := (e.rows/batchRows + uint64(round) + 1)
				if err := e.insert(ctx, &e.variants[i], g, batch); err != nil {
					return fmt.Errorf("insert into %s: %w", e.variants[i].name, err)
				}
			}
		}
	}
	return nil
}

func (e *experiment) add(operation, variant string, took time.Duration) {
	key := operation + operationSep + variant
	e.times[key] = append(e.times[key], took)
}

func (e *experiment) median(operation, variant string) time.Duration {
	all := slices.Sorted(slices.Values(e.times[operation+operationSep+variant]))
	if len(all) == 0 {
		return 0
	}
	return all[len(all)/2]
}

func (e *experiment) exec(ctx context.Context, sql string) error {
	return e.conn.Exec(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"async_insert": 0, "max_insert_threads": 2, "max_execution_time": 0,
	})), sql)
}

// drain reads a whole answer and throws it away.
func (e *experiment) drain(ctx context.Context, sql string) error {
	rows, err := e.conn.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		continue
	}
	return rows.Err()
}
