package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"leadevents"
	store "leadevents/clickhouse"
	"leadevents/clickhouse/schema"
)

// queryBench is the flags of the benchmark query.
type queryBench struct {
	binary string
	events uint64
	leads  uint64
	rounds int
	data   string
}

func newQuery(wrap wrapper) *cobra.Command {
	var b queryBench
	cmd := &cobra.Command{
		Use:   "query",
		Short: "what analysts ask: reports beside the same over raw rows, catalog, timelines, exports, SQL",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the server's `file`")
	cmd.Flags().Uint64Var(&b.events, "events", 100_000_000, "events of the organization that asks; two others have a tenth each")
	cmd.Flags().Uint64Var(&b.leads, "leads", 10_000_000, "leads that have them")
	cmd.Flags().IntVar(&b.rounds, "rounds", 7, "how often each is measured")
	cmd.Flags().StringVar(&b.data, "data", "", "keep the stores in this `folder`, and use what the same flags have left in it")
	return cmd
}

// queryDatabase is that of the benchmark query.
const queryDatabase = "bench_query"

// queryOrg asks; the others have events beside it.
const queryOrg leadevents.OrgID = 42

var queryNeighbours = []leadevents.OrgID{41, 43}

// repeatedPerMille of the events are stored twice.
const repeatedPerMille = 1

// queryWorld is the data and the parts that the measurements of `query` share.
type queryWorld struct {
	report *report
	rounds int
	events uint64 // of queryOrg
	leads  uint64
	now    leadevents.Millis // the last event is just before it
	stand  *stores
	conn   driver.Conn // the bare driver, in the database
	ours   *store.DB
	server *server // with a key of queryOrg that has all scopes
}

// queryData is what a folder is marked with that holds the data.
type queryData struct {
	Events, Leads uint64
	Now           leadevents.Millis
}

// queryPart is what each file of the benchmark measures.
type queryPart func(ctx context.Context, w *queryWorld) error

// queryParts are measured in this order.
var queryParts = []queryPart{benchQueryReports, benchQueryEvents, benchQuerySQL}

func (b *queryBench) run(ctx context.Context, r *report) (err error) {
	w := &queryWorld{report: r, rounds: b.rounds, events: b.events, leads: b.leads, now: leadevents.MillisOf(time.Now())}
	if b.data == "" {
		w.stand, err = startStores(ctx, r, true)
	} else {
		w.stand, err = startStoresIn(ctx, r, b.data, true)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stand.stop()) }()
	if err := w.open(ctx, filepath.Join(w.stand.dir, "query.json")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.ours.Close(), w.conn.Close()) }()
	e, redis := w.stand.engine.Endpoint(), w.stand.redis.Endpoint()
	w.server, err = serving{b.binary, w.stand, e.Native, redis.Addr, queryDatabase, queryOrg, rebuildPatience}.start(ctx, "log.requests=false")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.server.stop()) }()
	if err := w.describe(ctx); err != nil {
		return err
	}
	for _, part := range queryParts {
		if err := part(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// open connects to the database, and makes it unless the folder has it already.
func (w *queryWorld) open(ctx context.Context, mark string) error {
	text, err := os.ReadFile(mark)
	found := err == nil
	if found {
		var has queryData
		if err := json.Unmarshal(text, &has); err != nil {
			return fmt.Errorf("read %s: %w", mark, err)
		}
		if has.Events != w.events || has.Leads != w.leads {
			return fmt.Errorf("%s is of %d events and %d leads: give these, or another folder", mark, has.Events, has.Leads)
		}
		w.now = has.Now
	}
	outside, err := w.stand.connect("default")
	if err != nil {
		return err
	}
	defer outside.Close()
	if !found { // or not all of it
		if err := outside.Exec(ctx, "DROP DATABASE IF EXISTS "+queryDatabase+" SYNC"); err != nil {
			return err
		}
		if err := createDatabase(ctx, outside, queryDatabase); err != nil {
			return err
		}
	}
	if w.conn, err = w.stand.connect(queryDatabase); err != nil {
		return err
	}
	e := w.stand.engine.Endpoint()
	if w.ours, err = store.Open(store.Config{Addrs: []string{e.Native}, User: e.User, Password: e.Password, Database: queryDatabase}); err != nil {
		return err
	}
	if !found {
		if err := w.load(ctx); err != nil {
			return err
		}
		text, err := json.Marshal(queryData{w.events, w.leads, w.now})
		if err != nil {
			return err
		}
		if err := os.WriteFile(mark, text, 0o600); err != nil {
			return err
		}
		return w.mergeStates(ctx)
	}
	if err := schema.Migrate(ctx, w.conn, queryDatabase); err != nil { // it may be of an earlier commit
		return err
	}
	// The server of the time before made an organization; this one's has a key of its own.
	for _, table := range []string{"organizations", "api_keys"} {
		if err := w.conn.Exec(ctx, "TRUNCATE TABLE "+table); err != nil {
			return err
		}
	}
	return w.mergeStates(ctx)
}

// mergeStates does what a server does within a quarter of an hour.
func (w *queryWorld) mergeStates(ctx context.Context) error {
	_, err := w.ours.MergeStates(ctx)
	return err
}

// load stores the events, some of them twice, and waits for the merges.
func (w *queryWorld) load(ctx context.Context) error {
	for i, org := range queryNeighbours {
		d := dataSet{org: org, seed: uint64(2 + i), events: w.events / 10, leads: w.leads, now: w.now}
		if err := d.load(ctx, w.conn); err != nil {
			return err
		}
	}
	d := dataSet{org: queryOrg, seed: 1, events: w.events, leads: w.leads, now: w.now}
	if err := d.load(ctx, w.conn); err != nil {
		return err
	}
	if err := waitForMerges(ctx, w.conn); err != nil {
		return err
	}
	if err := d.repeat(ctx, w.conn, repeatedPerMille); err != nil {
		return err
	}
	return waitForMerges(ctx, w.conn)
}

// describe says what lies in the table.
func (w *queryWorld) describe(ctx context.Context) error {
	var rows, distinct, parts, partitions uint64
	err := w.conn.QueryRow(ctx, fmt.Sprintf("SELECT count(), uniqExact(_part), uniqExact(_partition_id) FROM lead_events WHERE organization_id = %d", queryOrg)).Scan(&rows, &parts, &partitions)
	if err == nil {
		err = w.conn.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM lead_events FINAL WHERE organization_id = %d", queryOrg)).Scan(&distinct)
	}
	if err != nil {
		return fmt.Errorf("count the events: %w", err)
	}
	w.report.linef("\n%d events of organization %s (%d more rows, %.2f %%, are duplicates) in %d parts of %d years, as background merges leave them; %d organizations beside it with a tenth each. 10 types, %d leads.",
		distinct, queryOrg, rows-distinct, 100*float64(rows-distinct)/float64(distinct), parts, partitions, len(queryNeighbours), w.leads)
	return nil
}
