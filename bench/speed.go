package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/internal/loadgen"
)

// speedBench is the flags of the benchmark speed.
type speedBench struct {
	binary string
	rounds int
	rows   uint64
	only   string
	data   string

	profiles string
}

func newSpeed(wrap wrapper) *cobra.Command {
	var b speedBench
	cmd := &cobra.Command{
		Use:   "speed",
		Short: "one table: the write path beside its floors and what users would take instead, ratios of one run",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the server's `file`")
	cmd.Flags().IntVar(&b.rounds, "rounds", 15, "how often calls are measured; a third as often single events, a fifth as often sustained load")
	cmd.Flags().Uint64Var(&b.rows, "rows", 5_000_000, "rows that are stored before")
	cmd.Flags().StringVar(&b.only, "only", "", "measure the rows of the table alone whose name or text matches this `pattern`: "+speedNames())
	cmd.Flags().StringVar(&b.data, "data", "", "keep the stored rows in this `folder`, and use what the same flags have left in it")
	cmd.Flags().StringVar(&b.profiles, "profiles", "", "write the server's profiles (processors, allocations, blocking, locks) under each load into this `folder`, when all is measured")
	return cmd
}

const (
	// speedOrg has all events of the benchmark.
	speedOrg leadevents.OrgID = 42
	// speedSeed is that of all its events: one pool of leads, and one schedule of types.
	speedSeed = 1
	// fewRows are stored where the insert's cost beside many is compared.
	fewRows = 1_000_000
	// speedYears are the years over which old events are spread.
	speedYears = 5
)

// speedWorld is what the parts of the benchmark share.
type speedWorld struct {
	*speedBench
	report  *report
	table   []speedRow
	needs   map[string]bool   // the contestants that the rows ask for
	now     leadevents.Millis // of live events
	since   leadevents.Millis // stored and old events end 73 hours before
	stand   *stores
	conn    driver.Conn // of no database of ours
	redis   *wire
	server  *server // with all stored rows
	live    *loadgen.Generator
	old     *loadgen.Generator
	floor   *floor // while a phase needs it
	samples map[string]sample
	figures map[string][]float64 // that are no times
	notes   []string
	leave   []func() error // of the phase, what its contestants started
}

func (b *speedBench) run(ctx context.Context, r *report) (err error) {
	pattern, err := regexp.Compile(b.only)
	if err != nil {
		return fmt.Errorf("read --only: %w", err)
	}
	w := &speedWorld{speedBench: b, report: r, now: leadevents.MillisOf(time.Now()), samples: map[string]sample{}, figures: map[string][]float64{}}
	if w.table = pickRows(pattern); len(w.table) == 0 {
		return fmt.Errorf("no row of the table matches --only %q: their names are %s", b.only, speedNames())
	}
	w.needs = contestantsOf(w.table)
	switch {
	case b.rounds < 1:
		return fmt.Errorf("--rounds is %d: at least 1 is needed", b.rounds)
	case b.rows < fewRows:
		return fmt.Errorf("--rows is %d: at least %d are needed", b.rows, fewRows)
	}
	if b.data == "" {
		w.stand, err = startStores(ctx, r, false)
	} else {
		w.stand, err = startStoresIn(ctx, r, b.data, false)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stand.stop()) }()
	if err := w.open(ctx); err != nil {
		return errors.Join(err, w.close())
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for _, part := range []func(context.Context) error{w.size, w.calls, w.sustained, w.singles, w.phones} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return errors.Join(w.print(), w.profile(ctx))
}

// open connects to the stores, has the rows stored, and starts the server on them.
func (w *speedWorld) open(ctx context.Context) (err error) {
	if w.conn, err = w.stand.connect("default"); err != nil {
		return err
	}
	e := w.stand.redis.Endpoint()
	if w.redis, err = dialRedis(ctx, e.Addr, e.Password); err != nil {
		return err
	}
	// A kept folder has the keys of a run that is over, of a database that is gone.
	if _, err := w.redis.ask("FLUSHALL"); err != nil {
		return err
	}
	if err := w.stored(ctx, filepath.Join(w.stand.dir, "speed.json")); err != nil {
		return err
	}
	if w.live, err = w.generator(loadgen.Live(w.now)); err != nil {
		return err
	}
	if w.old, err = w.generator(w.history()); err != nil {
		return err
	}
	w.server, err = w.serve(ctx, speedDatabase, storedDatabase)
	return err
}

func (w *speedWorld) close() error {
	var errs []error
	if w.server != nil {
		errs = append(errs, w.server.stop())
	}
	if w.redis != nil {
		errs = append(errs, w.redis.Close())
	}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
	}
	return errors.Join(errs...)
}

// serve starts a server on a new database that has the rows of another.
func (w *speedWorld) serve(ctx context.Context, database, rows string, settings ...string) (*server, error) {
	if err := w.fresh(ctx, database); err != nil {
		return nil, err
	}
	if err := w.attach(ctx, rows, database); err != nil {
		return nil, err
	}
	return serving{
		w.binary, w.stand, w.stand.engine.Endpoint().Native, w.stand.redis.Endpoint().Addr, database, speedOrg, rebuildPatience,
	}.start(ctx, append(settings, "log.requests=false")...)
}

// entrant is a contestant that has yet to be set up. What it starts it hands to
// onLeave, which is called when its phase is over.
type entrant struct {
	name  string
	enter func(ctx context.Context) (func(round int) (trial, error), error)
}

func (w *speedWorld) onLeave(stop func() error) { w.leave = append(w.leave, stop) }

// compete measures those of the entrants that a row of the table needs.
func (w *speedWorld) compete(ctx context.Context, rounds int, entrants ...entrant) (err error) {
	defer func() {
		for i := len(w.leave) - 1; i >= 0; i-- {
			err = errors.Join(err, w.leave[i]())
		}
		w.leave = nil
	}()
	var contestants []contestant
	for _, e := range entrants {
		if !w.needs[e.name] {
			continue
		}
		prepare, err := e.enter(ctx)
		if err != nil {
			return fmt.Errorf("set up %q: %w", e.name, err)
		}
		contestants = append(contestants, contestant{e.name, func(round int) (trial, error) {
			t, err := prepare(round)
			return t, errors.Join(err, w.settle(ctx))
		}})
	}
	samples, err := compete(ctx, rounds, contestants, nil)
	for name, s := range samples {
		w.samples[name] = s
	}
	return err
}

// settleLimit bounds the wait for what the stores do by themselves.
const settleLimit = 10 * time.Minute

// settle waits until ClickHouse merges nothing and Redis rewrites nothing: what one
// contestant has left to do is not the next one's to pay for. The quiet has to last
// for a few looks, since a merge begins a moment after the insert that asks for it.
func (w *speedWorld) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	return untilQuiet(ctx, 4, 50*time.Millisecond, func() (bool, error) {
		if busy, err := merging(ctx, w.conn); busy || err != nil {
			return busy, err
		}
		rewriting, err := w.redis.info("persistence", "aof_rewrite_in_progress")
		return rewriting != "0", err
	})
}
