package backfill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"leadevents"
)

// Config is what a run is to do.
type Config struct {
	Files        []File
	Mapping      Mapping
	Organization leadevents.OrgID
	Servers      []Server // asked in turn
	Run          string   // its id; empty: made, or the checkpoint's
	Compress     bool     // zstd on the way
	Concurrency  int      // calls in flight at most; 0: DefaultConcurrency
	Patience     time.Duration
	DryRun       bool

	// StatePath and RejectsPath are the checkpoint and the file of rejected rows; a dry run writes none.
	StatePath, RejectsPath string
	Restart                bool // a new run, whatever the checkpoint says
	Again                  bool // a new run, if the one of the checkpoint is done

	Say func(format string, args ...any) // to people
	// Begun is called when there is a checkpoint to go on from; nil: nobody asks.
	Begun func()
	// Open opens the files at a position; nil is [Open].
	Open func(ctx context.Context, files []File, mapping Mapping, at Position) (Source, error)

	limits limits // zero: standardLimits
	timing timing // zero: standardTiming
}

// timing is how long things are waited for.
type timing struct {
	pause      time.Duration // before a call is sent again, the first time
	longest    time.Duration // at most
	checkpoint time.Duration // least time between two
}

// A checkpoint costs a sync or two. What is answered since the last one is sent again after a kill,
// and answered the same.
var standardTiming = timing{pause: 500 * time.Millisecond, longest: 15 * time.Second, checkpoint: time.Second}

// Bounds of Config.Concurrency. A call in flight holds its body and its rows, 18 MiB at most.
const (
	DefaultConcurrency = 4
	MaxConcurrency     = 16
)

// ValidateRun refuses what is no id of a run.
func ValidateRun(id, name string) error {
	if !leadevents.IsRunID(id) {
		return leadevents.Errorf(leadevents.InvalidRequest, "%s is %q: a run's id is 1 to %d of the characters A-Z, a-z, 0-9, _, . and -", name, id, leadevents.MaxRunID)
	}
	return nil
}

func newRun() string {
	return strings.ToLower(rand.Text()[:12]) // base32: 60 bits
}

// Runner is one attempt at a run.
type Runner struct {
	cfg     Config
	state   checkpoint
	resumed bool
	done    bool // already, by the checkpoint
	flights atomic.Pointer[flights]
}

// ErrChanged is in the error of New for a checkpoint of other files or settings.
var ErrChanged = errors.New("the run of the checkpoint cannot go on with what is given now")

// New makes a run, or takes up that of the checkpoint.
func New(cfg Config) (*Runner, error) {
	if cfg.Open == nil {
		cfg.Open = Open
	}
	if cfg.limits == (limits{}) {
		cfg.limits = standardLimits
	}
	if cfg.timing == (timing{}) {
		cfg.timing = standardTiming
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = DefaultConcurrency
	}
	if cfg.Concurrency < 1 || cfg.Concurrency > MaxConcurrency {
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "the concurrency is %d: 1 to %d is allowed", cfg.Concurrency, MaxConcurrency)
	}
	if cfg.Run != "" {
		if err := ValidateRun(cfg.Run, "the run"); err != nil {
			return nil, err
		}
	}
	r := &Runner{cfg: cfg, state: checkpoint{
		Version: checkpointVersion, Run: cfg.Run, Organization: cfg.Organization, Files: cfg.Files, Mapping: describe(cfg.Mapping),
		Limits: cfg.limits, StartedAt: time.Now().UTC().Truncate(time.Second), Encoding: "identity",
	}}
	if r.state.Run == "" {
		r.state.Run = newRun()
	}
	if cfg.Compress {
		r.state.Encoding = "zstd"
	}
	if cfg.DryRun || cfg.Restart {
		return r, nil
	}
	before, err := readCheckpoint(cfg.StatePath)
	if err != nil || before == nil || (before.Done && cfg.Again) {
		return r, err
	}
	differ := before.differences(&r.state)
	if cfg.Run != "" && cfg.Run != before.Run {
		differ = append(differ, fmt.Sprintf("its id is %s, and --run asks for %s", before.Run, cfg.Run))
	}
	if len(differ) > 0 {
		return nil, fmt.Errorf("%w (%s, run %s):\n  %s\nPut back what was changed to go on with it, or begin a new run: --restart here, --state FILE beside it. What a new run sends again is counted as duplicates",
			ErrChanged, cfg.StatePath, before.Run, strings.Join(differ, "\n  "))
	}
	r.state, r.resumed, r.done = *before, true, before.Done
	return r, nil
}

// Run is the run's id.
func (r *Runner) Run() string { return r.state.Run }

// Resumed says whether the run was begun before.
func (r *Runner) Resumed() bool { return r.resumed }

// Done says whether the run was done before: Go has nothing to do.
func (r *Runner) Done() bool { return r.done }

// Begun says whether there is a checkpoint to go on from.
func (r *Runner) Begun() bool { return r.resumed || r.flights.Load() != nil }

// Go sends what is left, until all is answered, ctx ends (ErrStopped, when what is in flight has been
// answered) or something does not go on. The checkpoint is written in any case; whoever kills
// the process instead loses none of it.
func (r *Runner) Go(ctx context.Context) (err error) {
	if r.done {
		return nil
	}
	c := &caller{servers: r.cfg.Servers, run: r.state.Run, pace: newPace(r.cfg.Concurrency), patience: r.cfg.Patience, timing: r.cfg.timing, say: r.cfg.Say}
	if r.state.Encoding == "zstd" {
		// One goroutine and one level: the same body must give the same bytes.
		if c.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
			return fmt.Errorf("compress: %w", err)
		}
		defer func() { err = errors.Join(err, c.encoder.Close()) }()
	}
	stop, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	source, err := r.open(stop)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	f, err := newFlights(r, c, source, fail)
	if err != nil {
		return err
	}
	r.flights.Store(f)
	if r.cfg.Begun != nil {
		r.cfg.Begun()
	}
	cut := &cutter{source: source, run: r.state.Run, org: r.state.Organization, limits: r.state.Limits, files: r.cfg.Files, spare: &f.spare, survey: f.survey}
	err = f.all(stop, cut)
	if err == nil && !f.through() || errors.Is(err, context.Canceled) {
		err = context.Cause(stop)
	}
	// The end of standard input may be that of a program that was stopped with us.
	if ctx.Err() != nil && (err != nil || r.ofStdin()) {
		err = ErrStopped
	}
	if leadevents.KindOf(err) == leadevents.Conflict {
		err = fmt.Errorf("%w (--restart begins a new run)", err)
	}
	return errors.Join(err, f.end(err == nil))
}

// open opens the files at the mark. Standard input is given from its beginning again, and read up
// to there.
func (r *Runner) open(ctx context.Context) (Source, error) {
	at := r.state.Mark
	if !r.ofStdin() || at.Row == 0 {
		return r.cfg.Open(ctx, r.cfg.Files, r.cfg.Mapping, at)
	}
	source, err := r.cfg.Open(ctx, r.cfg.Files, r.cfg.Mapping, Position{})
	if err != nil {
		return nil, err
	}
	var row Row
	for n := range at.Row {
		if _, err := source.Next(&row); errors.Is(err, io.EOF) {
			return nil, errors.Join(fmt.Errorf("standard input ends after %d rows, and the run goes on behind %d: it must be given whole again", n, at.Row), source.Close())
		} else if err != nil {
			return nil, errors.Join(err, source.Close())
		}
	}
	return source, nil
}

func (r *Runner) ofStdin() bool {
	return slices.ContainsFunc(r.cfg.Files, func(f File) bool { return f.Name == Stdin })
}

// all sends all spans; their calls are through when it returns.
func (f *flights) all(stop context.Context, cut *cutter) error {
	defer f.wait()
	f.begin()
	for {
		s, err := cut.next(stop)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f.send(stop, s); err != nil {
			return err
		}
	}
}
