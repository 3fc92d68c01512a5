package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/clickhouse/embedded"
	"leadevents/internal/loadgen"
)

// eventsOrg is the organization of the benchmark events.
const eventsOrg leadevents.OrgID = 42

const eventsDatabase = "bench_events"

func newEventsBench(wrap wrapper) *cobra.Command {
	var (
		binary        string
		events, leads uint64
		rounds        int
	)
	cmd := &cobra.Command{
		Use:   "events",
		Short: "what analysts read of events: catalog, pages, one lead's timeline, exports beside what ClickHouse itself writes",
		Args:  cobra.NoArgs,
		RunE: wrap(func(ctx context.Context, r *report) error {
			return benchEvents(ctx, r, binary, events, leads, rounds)
		}),
	}
	cmd.Flags().StringVar(&binary, "binary", "bin/leadevents", "the server's `file`")
	cmd.Flags().Uint64Var(&events, "events", 33_000_000, "events that are stored")
	cmd.Flags().Uint64Var(&leads, "leads", 3_300_000, "leads that have them")
	cmd.Flags().IntVar(&rounds, "rounds", 20, "how often each is measured")
	return cmd
}

// benchEvents loads three fifths of the events over three years and the rest over the last
// 30 days, one in a thousand twice, and measures.
func benchEvents(ctx context.Context, r *report, binary string, events, leads uint64, rounds int) (err error) {
	stand, err := startStores(ctx, r, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stand.stop()) }()
	outside, err := stand.connect("default")
	if err != nil {
		return err
	}
	defer outside.Close()
	if err := createDatabase(ctx, outside, eventsDatabase); err != nil {
		return err
	}
	conn, err := stand.connect(eventsDatabase)
	if err != nil {
		return err
	}
	defer conn.Close()
	now := leadevents.MillisOf(time.Now())
	recent := events / 5 * 2
	const piece = 1_000_000
	for _, part := range []struct {
		first, count uint64
		times        loadgen.Times
	}{
		{0, events - recent, loadgen.History(now, 3, 0)},
		{events - recent, recent, loadgen.Times{From: now.Add(-30 * 24 * time.Hour), To: now}},
	} {
		part.times.ArrivedFrom = now.Add(-24 * time.Hour)
		g, err := loadgen.New(loadgen.Config{Seed: 1, Org: eventsOrg, EventTypes: loadgen.DefaultEventTypes()[:10], Leads: leads, Times: part.times})
		if err != nil {
			return err
		}
		for done := uint64(0); done < part.count; done += piece {
			if err := conn.Exec(ctx, g.InsertSQL("lead_events", part.first+done, min(piece, part.count-done))); err != nil {
				return err
			}
		}
	}
	err = conn.Exec(ctx, fmt.Sprintf("INSERT INTO lead_events (%s) SELECT %[1]s FROM lead_events WHERE cityHash64(phone, occurred_at) %% 1000 = 7", loadgen.Columns))
	if err != nil {
		return fmt.Errorf("store some events twice: %w", err)
	}
	if err := waitForMerges(ctx, conn); err != nil {
		return err
	}
	e, redis := stand.engine.Endpoint(), stand.redis.Endpoint()
	srv, err := serving{binary, stand, e.Native, redis.Addr, eventsDatabase, eventsOrg, rebuildPatience}.start(ctx, "log.requests=false")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	return eventsBench{r, rounds, eventsOrg, conn, srv, httpOf(e, eventsDatabase)}.run(ctx)
}

// httpOf is ClickHouse's own HTTP interface.
func httpOf(e embedded.Endpoint, database string) url.URL {
	return url.URL{
		Scheme: "http", Host: e.HTTP, Path: "/", User: url.UserPassword(e.User, e.Password),
		RawQuery: url.Values{"database": {database}}.Encode(),
	}
}
