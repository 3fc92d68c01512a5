package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/internal/loadgen"
)

// dataSet is an organization's events in benchmarks of the read path: three fifths of them
// over three years, in calls of 50,000 and in no order, as a backfill brings them, the
// rest over the last 30 days; 10 types by Zipf's law.
type dataSet struct {
	org           leadevents.OrgID
	seed          uint64
	events, leads uint64
	now           leadevents.Millis
}

func (d dataSet) generator(times loadgen.Times) (*loadgen.Generator, error) {
	return loadgen.New(loadgen.Config{Seed: d.seed, Org: d.org, EventTypes: loadgen.DefaultEventTypes()[:10], Leads: d.leads, Times: times})
}

// load stores it in the database of conn. ClickHouse makes the rows itself.
func (d dataSet) load(ctx context.Context, conn driver.Conn) error {
	recent := d.events / 5 * 2
	parts := []struct {
		first, count uint64
		times        loadgen.Times
	}{
		{0, d.events - recent, loadgen.History(d.now, 3, 0)},
		{d.events - recent, recent, loadgen.Times{From: d.now.Add(-30 * 24 * time.Hour), To: d.now}},
	}
	const piece = 5_000_000
	for _, p := range parts {
		p.times.ArrivedFrom = d.now.Add(-24 * time.Hour) // long enough ago that the server's ledger has no need of them
		g, err := d.generator(p.times)
		if err != nil {
			return err
		}
		for done := uint64(0); done < p.count; done += piece {
			if err := conn.Exec(ctx, g.InsertSQL("lead_events", p.first+done, min(piece, p.count-done))); err != nil {
				return fmt.Errorf("store events of organization %s: %w", d.org, err)
			}
		}
	}
	return nil
}

// repeat stores one of each perMille-th event again, in several inserts, as requests that
// raced for a key have done: another batch, a moment later.
func (d dataSet) repeat(ctx context.Context, conn driver.Conn, perMille uint64) error {
	const inserts = 10
	for i := range inserts {
		err := conn.Exec(ctx, fmt.Sprintf(`INSERT INTO lead_events
			SELECT organization_id, event_type, phone, occurred_at, metadata, ingested_at + INTERVAL 1 SECOND, batch_id + 1 FROM lead_events
			WHERE organization_id = %d AND sipHash64(phone, occurred_at) %% 10000 IN (SELECT number * %d + %d FROM numbers(%d))`,
			d.org, inserts, i, perMille))
		if err != nil {
			return fmt.Errorf("store events again: %w", err)
		}
	}
	return nil
}
