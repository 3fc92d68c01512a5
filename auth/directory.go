package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/audit"
	"leadevents/internal/limits"
)

// Config bounds how old the credentials may be that a request is judged by.
type Config struct {
	// RefreshInterval is how often the store is asked for changes while requests
	// come in; default 500 ms, up to 1 s.
	RefreshInterval time.Duration
	// MaxStaleness is the oldest snapshot that is used; default 2 s, which is
	// the time API.md 6 gives a revocation. More breaks that promise.
	MaxStaleness time.Duration
	// MaxWait is how long a request waits for a refresh when the snapshot is too
	// old, before it is told 503; default 1 s.
	MaxWait time.Duration
	// FlushInterval is how often use counts are written; default 10 s.
	FlushInterval time.Duration
	// UnusedAfter is for how long a key must not have been used to be shown as
	// safe to revoke; default 30 days.
	UnusedAfter time.Duration
	// MasterKeys encrypt the signing secrets.
	MasterKeys Keyring
	// Announce, if set, is called after every write, so that other processes may be
	// told to Notify their Directory. It is bounded by itself, and may fail.
	Announce func(context.Context)
	// DefaultLimits hold for organizations that have none of their own.
	DefaultLimits leadevents.Limits
	// Limiter counts what is limited; without it nothing is.
	Limiter *limits.Limiter
}

const (
	// stampTimeout bounds "has anything changed?": with a poll every 500 ms, one
	// that hangs is given up and repeated on another connection within
	// MaxStaleness.
	stampTimeout = time.Second
	// loadTimeout bounds reading everything: 10,000 keys take about 50 ms.
	loadTimeout = 10 * time.Second
	// writeTimeout bounds one attempt to write a record, and the last flush.
	writeTimeout = 5 * time.Second
	// idleAfter is how long after the last request polling goes on. An idle
	// process costs its store nothing; its first request refreshes.
	idleAfter = time.Minute
	// retryGap keeps requests that wait for a store that is down from asking it
	// more than ten times a second.
	retryGap = 100 * time.Millisecond
	// retryMost bounds how long a refresh that failed waits to be tried again where no
	// request asks for it.
	retryMost = 5 * time.Second
)

func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&c.RefreshInterval, 500 * time.Millisecond},
		{&c.MaxStaleness, 2 * time.Second},
		{&c.MaxWait, time.Second},
		{&c.FlushInterval, 10 * time.Second},
		{&c.UnusedAfter, 30 * 24 * time.Hour},
	} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
		if *d.value < 0 {
			return c, fmt.Errorf("configure credentials: %s is negative", *d.value)
		}
	}
	if c.RefreshInterval > c.MaxStaleness {
		return c, fmt.Errorf("configure credentials: the refresh interval (%s) must not exceed the longest staleness (%s)", c.RefreshInterval, c.MaxStaleness)
	}
	return c, nil
}

// Directory answers who is calling from memory, and administers credentials. It
// is safe for concurrent use. Administration works without [Directory.Run];
// checking requests needs it.
type Directory struct {
	cfg     Config
	store   Store
	audit   *audit.Log
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics

	current atomic.Pointer[snapshot]
	// wanted counts the writes through this Directory: a snapshot begun before
	// the latest one is not used any more.
	wanted atomic.Uint64
	// round is the refresh that has not ended yet; requests wait for its end.
	round      atomic.Pointer[round]
	refreshing sync.Mutex    // one refresh at a time
	wake       chan struct{} // asks Run for a refresh; holds one
	seen       atomic.Int64  // ms of a recent check, for idleAfter

	admin sync.Mutex // one administrative change at a time
	uses  useCounts
	decoy *signingEntry
}

// snapshot is a view, and the moment from which on it may be out of date.
type snapshot struct {
	*view
	asOf   time.Time // before the store was asked
	wanted uint64    // Directory.wanted at asOf
	stamp  uint64
}

type round struct {
	done chan struct{} // closed at the end
	err  error         // readable then
}

// New makes a directory that has loaded nothing yet. now is the clock (time.Now);
// metrics may be nil.
func New(cfg Config, store Store, now func() time.Time, log *slog.Logger, reg prometheus.Registerer) (*Directory, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("register the metrics of credentials: %w", err)
	}
	d := &Directory{
		cfg: cfg, store: store, audit: audit.NewLog(store, now, log), now: now, log: log, metrics: m,
		wake:  make(chan struct{}, 1),
		decoy: &signingEntry{secret: []byte(randomBase58(len(secretPrefix) + randomLength))},
	}
	d.round.Store(&round{done: make(chan struct{})})
	return d, nil
}

// Run follows the store and writes use counts until ctx ends; then it writes the
// last counts and returns nil. Stop it after the requests have ended: without it
// they would soon find the credentials too old.
func (d *Directory) Run(ctx context.Context) error {
	var flusher sync.WaitGroup
	flusher.Go(func() { d.flushUntil(ctx) })
	defer flusher.Wait()

	d.seen.Store(d.now().UnixMilli())
	tick := time.NewTicker(d.cfg.RefreshInterval)
	defer tick.Stop()
	failures := uint(0)
	for {
		var again <-chan time.Time
		if err := d.Refresh(ctx); err == nil {
			failures = 0
		} else if ctx.Err() == nil {
			d.log.Warn("credentials could not be refreshed; requests get 503 once they are too old",
				"error", err, "tooOldAfter", d.cfg.MaxStaleness)
			if !sleep(ctx, retryGap) {
				return nil
			}
			// What was to be found, a change that another process has announced, is not found
			// yet: it must not wait for the next poll, which may be far off, and of an idle process never comes.
			again = time.After(min(retryGap<<min(failures, 10), retryMost))
			failures++
		}
		for polled := false; !polled; {
			select {
			case <-ctx.Done():
				return nil
			case <-again:
				polled = true
			case <-d.wake:
				polled = true
			case <-tick.C:
				polled = d.now().UnixMilli()-d.seen.Load() < idleAfter.Milliseconds()
			}
		}
	}
}

func sleep(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Notify says that another process may have changed a credential; Run asks the
// store at once. It never blocks, and several calls may cost one refresh.
func (d *Directory) Notify() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Refresh asks the store now, and loads what it holds if anything has changed.
func (d *Directory) Refresh(ctx context.Context) error {
	d.refreshing.Lock()
	defer d.refreshing.Unlock()

	result, err := d.refresh(ctx)
	d.metrics.refreshes.WithLabelValues(result).Inc()
	ended := d.round.Swap(&round{done: make(chan struct{})})
	ended.err = err
	close(ended.done)
	return err
}

func (d *Directory) refresh(ctx context.Context) (result string, err error) {
	// Both are read before the store is asked: what is written from here on may
	// be missing in what follows, so the snapshot counts as no younger.
	next := &snapshot{asOf: d.now(), wanted: d.wanted.Load()}
	old := d.current.Load()

	stampCtx, cancel := context.WithTimeout(ctx, stampTimeout)
	next.stamp, err = d.store.Stamp(stampCtx)
	cancel()
	if err != nil {
		return "failed", fmt.Errorf("ask whether credentials have changed: %w", err)
	}
	if old != nil && old.stamp == next.stamp {
		next.view = old.view
		d.current.Store(next)
		return "unchanged", nil
	}

	loadCtx, cancel := context.WithTimeout(ctx, loadTimeout)
	records, err := d.store.LoadAll(loadCtx)
	cancel()
	if err != nil {
		return "failed", fmt.Errorf("load credentials: %w", err)
	}
	next.view = d.build(records)
	d.current.Store(next)
	return "loaded", nil
}

// usable tells whether a request may be judged by s. Two clocks are asked: the
// monotonic one, which no correction of the time moves, and the wall clock, which
// goes on while the machine sleeps.
func (d *Directory) usable(s *snapshot, now time.Time) bool {
	if s == nil || s.wanted < d.wanted.Load() {
		return false
	}
	wall := now.Round(0).Sub(s.asOf.Round(0))
	return now.Sub(s.asOf) <= d.cfg.MaxStaleness && wall <= d.cfg.MaxStaleness && wall >= -d.cfg.MaxStaleness
}

// look is the view to judge a request by, and the time to judge it at.
func (d *Directory) look(ctx context.Context) (*view, time.Time, error) {
	now := d.now()
	if ms := now.UnixMilli(); ms-d.seen.Load() > 1000 { // not on every request: the cores would fight for the line
		d.seen.Store(ms)
	}
	if s := d.current.Load(); d.usable(s, now) {
		return s.view, now, nil
	}
	return d.await(ctx)
}

// unknownGap is how old a snapshot must be for a credential that it does not know
// to cost a question to the store: a new key works at once in every process, and a
// flood of invented ones costs the store some twenty questions a second, whatever its size.
const unknownGap = 100 * time.Millisecond

// fresher is a view of the store as it is now, for a credential that seen does not
// know; false where there is none that differs. It waits for one refresh that
// began after it was asked.
func (d *Directory) fresher(ctx context.Context, seen *view) (*view, time.Time, bool) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.MaxWait)
	defer cancel()
	asked := d.now()
	for {
		r := d.round.Load()
		now := d.now()
		s := d.current.Load() // there is one: seen came from it
		if s.asOf.After(asked) {
			return s.view, now, s.view != seen && d.usable(s, now)
		}
		if young := unknownGap - now.Sub(s.asOf); young > 0 {
			if !sleep(ctx, young) {
				return nil, now, false
			}
			continue
		}
		d.Notify()
		select {
		case <-r.done:
			if r.err != nil {
				return nil, now, false
			}
		case <-ctx.Done():
			return nil, now, false
		}
	}
}

// await asks for a refresh and waits for one that gives a usable snapshot, at
// most MaxWait.
func (d *Directory) await(ctx context.Context) (*view, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.MaxWait)
	defer cancel()
	var last error
	for {
		// The round is read before the snapshot: a refresh that ends in between
		// shows in one or the other.
		r := d.round.Load()
		now := d.now()
		if s := d.current.Load(); d.usable(s, now) {
			return s.view, now, nil
		}
		d.Notify()
		select {
		case <-r.done:
			last = r.err
		case <-ctx.Done():
			d.metrics.refusals.unavailable.Inc()
			return nil, now, leadevents.Wrap(leadevents.Unavailable, errors.Join(last, ctx.Err()),
				"credentials cannot be checked at the moment: their store does not answer")
		}
	}
}
