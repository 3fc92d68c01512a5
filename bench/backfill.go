package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/internal/loadgen"
)

// backfillBench is the flags of the benchmark backfill.
type backfillBench struct {
	binary  string
	events  uint64
	years   int
	seconds int
	only    string
	set     []string
}

func newBackfillBench(wrap wrapper) *cobra.Command {
	var b backfillBench
	cmd := &cobra.Command{
		Use:   "backfill",
		Short: "files of history by the command, beside what bare ClickHouse takes to load them; single events beside it",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the server's and the command's `file`")
	cmd.Flags().Uint64Var(&b.events, "events", 10_000_000, "events of a file")
	cmd.Flags().IntVar(&b.years, "years", 10, "years over which they are spread, in no order")
	cmd.Flags().StringVar(&b.only, "only", "", "the files whose names have this `text` in them, and nothing beside them")
	cmd.Flags().StringArrayVar(&b.set, "set", nil, "a `setting` of the server, as serve has them: ingest.historical_lanes=2; may be repeated")
	cmd.Flags().IntVar(&b.seconds, "seconds", 20, "how long single events are sent alone")
	return cmd
}

const (
	goalOfBare     = 0.6 // of the rate at which bare ClickHouse loads the file
	aimOfBare      = 1.0
	goalAgain      = 1.5 // × the rate of the first run
	goalClientMiB  = 200
	goalServerMiB  = 400
	goalBesideP99  = 3.0
	goalSinglesP99 = 150 * time.Millisecond
	// goalParts is far below the 1,000 beyond which ClickHouse slows inserts down.
	goalParts = 300

	bareDatabase = "bench_bare"
	// backfillType is that of files of one type.
	backfillType = "page_view"
	// besideConnections send single events beside a backfill.
	besideConnections = 16
)

// backfillWorld is what the parts of the benchmark share.
type backfillWorld struct {
	*backfillBench
	report *report
	dir    string
	stand  *stores
	bare   driver.Conn // of the database that ClickHouse loads into by itself
	conn   driver.Conn // of the server's
	server *server
}

func (b *backfillBench) run(ctx context.Context, r *report) (err error) {
	w := &backfillWorld{backfillBench: b, report: r}
	if w.dir, err = os.MkdirTemp("", "leadevents-bench-files-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(w.dir)) }()
	if w.stand, err = startStores(ctx, r, false); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stand.stop()) }()
	e, redis := w.stand.engine.Endpoint(), w.stand.redis.Endpoint()
	if w.server, err = startServing(ctx, b.binary, w.stand, e.Native, redis.Addr, append([]string{"log.requests=false"}, b.set...)...); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.server.stop()) }()
	if w.conn, err = w.stand.connect(benchDatabase); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.conn.Close()) }()
	if err := createDatabase(ctx, w.conn, bareDatabase); err != nil {
		return err
	}
	if w.bare, err = w.stand.connect(bareDatabase); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.bare.Close()) }()
	if err := w.rates(ctx); err != nil || b.only != "" {
		return err
	}
	return w.beside(ctx)
}

// historyFile is a file of events, and what a loader has to be told of it.
type historyFile struct {
	path   string
	format string // as ClickHouse calls it
	events uint64
	typed  bool // rows have their types
}

// generator makes events over the years, in no order; rows of batchRows in a row have one type.
func (w *backfillWorld) generator(seed, batchRows uint64) (*loadgen.Generator, error) {
	return loadgen.New(loadgen.Config{
		Seed: seed, Org: w.server.OrganizationID, Leads: 10_000_000, BatchRows: batchRows,
		Times: loadgen.History(leadevents.MillisOf(time.Now()), w.years, 0),
	})
}

// rates measures each file by the command beside bare ClickHouse, one after the other: once
// stored, rows are no longer new. Bare ClickHouse comes first, when there is least to merge.
func (w *backfillWorld) rates(ctx context.Context) error {
	var rows [][]string
	var goals []func()
	most := uint64(0)
	for _, c := range []struct {
		name string
		make func() (historyFile, error)
		goal float64
	}{
		{"NDJSON, zstd, one type", func() (historyFile, error) { return w.ndjson(1, w.events, false, "one.ndjson.zst") }, goalOfBare},
		{"NDJSON, zstd, ten types mixed", func() (historyFile, error) { return w.ndjson(2, w.events, true, "ten.ndjson.zst") }, 0},
		{"Parquet, one type", func() (historyFile, error) { return w.parquet(ctx, 3) }, 0},
	} {
		if !strings.Contains(c.name, w.only) {
			continue
		}
		file, err := c.make()
		if err != nil {
			return err
		}
		bare, err := w.loadBare(ctx, file)
		if err == nil {
			err = waitForMerges(ctx, w.bare) // they are not the next one's to pay for
		}
		if err != nil {
			return fmt.Errorf("%s by ClickHouse: %w", c.name, err)
		}
		watch, err := watchParts(ctx, w.conn)
		if err != nil {
			return err
		}
		first, err := w.load(ctx, file, true)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if _, err := watch.row("", first.took); err != nil {
			return err
		}
		most = max(most, watch.most.Load())
		if err := waitForMerges(ctx, w.conn); err != nil {
			return err
		}
		second, err := w.load(ctx, file, false)
		if err != nil {
			return fmt.Errorf("%s, again: %w", c.name, err)
		}
		thousand := func(took time.Duration) string { return fmt.Sprintf("%.0f", float64(w.events)/took.Seconds()/1000) }
		rows = append(rows, []string{c.name, thousand(bare), thousand(first.took), fmt.Sprintf("%.2f", bare.Seconds()/first.took.Seconds()), thousand(second.took), fmt.Sprintf("%.2f", first.took.Seconds()/second.took.Seconds()), fmt.Sprintf("%.0f", max(first.clientMiB, second.clientMiB)), fmt.Sprint(watch.most.Load())})
		goals = append(goals, func() {
			if c.goal > 0 {
				w.report.atLeast(fmt.Sprintf("× the rate of bare ClickHouse (the aim is %.1f): %s", aimOfBare, c.name), bare.Seconds()/first.took.Seconds(), c.goal)
			}
			w.report.atLeast("× the rate of the first run, when all are duplicates: "+c.name, first.took.Seconds()/second.took.Seconds(), goalAgain)
			w.report.atMost("MiB that the command holds: "+c.name, max(first.clientMiB, second.clientMiB), goalClientMiB)
		})
	}
	peak, err := w.server.peakMemory()
	if err != nil {
		return err
	}
	w.report.linef("\nFiles of %d events over %d years in no order, once each: bare ClickHouse by its own format over HTTP into the same tables; `leadevents backfill`; the same again, all duplicates. Everything on one machine.", w.events, w.years)
	w.report.table([]string{"file", "ClickHouse, 1,000 rows/s", "backfill", "× ClickHouse", "again", "× first", "client MiB", "most parts"}, rows)
	for _, goal := range goals {
		goal()
	}
	w.report.atMost("MiB that the server's process holds", peak, goalServerMiB)
	w.report.atMost("parts of a partition", float64(most), goalParts)
	return nil
}

// beside measures single events alone, and while a file is loaded.
func (w *backfillWorld) beside(ctx context.Context) error {
	file, err := w.ndjson(4, w.events/2, false, "beside.ndjson.zst")
	if err != nil {
		return err
	}
	singles := &fairnessBench{seed: 500}
	if _, err := singles.stream(ctx, w.server, besideConnections, 2*time.Second, false, nil); err != nil { // warm
		return err
	}
	alone, err := singles.stream(ctx, w.server, besideConnections, time.Duration(w.seconds)*time.Second, false, nil)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	loaded := make(chan error, 1)
	go func() {
		defer close(ended)
		_, err := w.load(ctx, file, true)
		loaded <- err
	}()
	beside, err := singles.stream(ctx, w.server, besideConnections, 0, false, ended)
	if err := errors.Join(err, <-loaded); err != nil {
		return err
	}
	w.report.linef("\nSingle events of %d connections alone, and beside a backfill of %d events at full speed.", besideConnections, file.events)
	w.report.table(singleHead, [][]string{alone.row("alone"), beside.row("beside a backfill")})
	p99 := beside.latencies.quantile(0.99)
	w.report.atMost("× their p99 alone, single events beside a backfill", float64(p99)/float64(alone.latencies.quantile(0.99)), goalBesideP99)
	w.report.goal("their p99", p99, goalSinglesP99, 0)
	return nil
}

func (w *backfillWorld) path(name string) string { return filepath.Join(w.dir, name) }
