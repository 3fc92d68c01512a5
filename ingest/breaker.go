package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"

	"leadevents"
)

// Prober is a store that can be asked for a sign of life.
type Prober interface {
	// Probe asks for one, over a connection that nothing else uses. alive says
	// that the store answered; err is then what keeps it from working, as the
	// client is to be told, if anything. One goroutine at a time.
	Probe(ctx context.Context) (alive bool, err error)
	// Heard grows with everything that the store says on any connection.
	Heard() uint64
}

const (
	// silentTicks make a store's silence: it is counted in ticks rather than read
	// off the clock, so that a process that was stopped itself, and finds a probe
	// late when it goes on, does not blame the store.
	silentTicks = 7
	// probeLimit ends a probe that is not answered, so that the next comes over a
	// new connection. A store that only stood still answers the old one.
	probeLimit = 3 * time.Second
	// afterSealGrace is for what follows a seal that was sent: an outcome that
	// stays unknown costs the client its exact count, so it is waited for a while.
	afterSealGrace = 5 * time.Second
	// afterwardsLimit bounds what waits for a store to come back.
	afterwardsLimit = 1024
	// retryDead is the Retry-After of a store that does not answer.
	retryDead = time.Second
)

// breaker is the circuit breaker of one store: a store that does not answer, or
// says that it cannot work, costs a call nothing but its 503.
//
//	closed ──► open     a probe's connection is refused; or it says itself that it
//	                    cannot work; or a probe stays unanswered for the silence,
//	                    and nothing is heard on any other connection meanwhile
//	open   ──► closed   a probe is answered: half-open is the breaker's own
//	                    affair, no call is used to try
//
// A slow store is not a dead one: one that sends anything is heard, and one whose
// probes take long is given twice as long as the last took.
type breaker struct {
	name   string // "the event store (ClickHouse)"
	label  string // "clickhouse", in metrics and /readyz
	store  Prober
	tick   time.Duration
	log    *slog.Logger
	turned *prometheus.CounterVec // changes, by what it became
	told   prometheus.Counter     // calls refused before anything was done for them

	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]
	state   atomic.Pointer[breakerState]
	refuses atomic.Pointer[refusing]

	// The watch's own.
	patience uint32 // ticks of silence that open it
	decided  bool   // the last verdict needs no patience
	verdict  error

	mu         sync.Mutex
	afterwards []func(context.Context)
	working    sync.WaitGroup // the watch, and what it or a guard has left running
}

// breakerState is replaced with every change.
type breakerState struct {
	err    *leadevents.Error // what calls are told; nil while closed
	since  time.Time
	up     context.Context // ends when the breaker opens, with err as its cause
	open   context.CancelCauseFunc
	closed chan struct{} // closed when the breaker closes
}

// refusing is what a living store has refused without the breaker opening.
type refusing struct {
	message string
	since   time.Time
}

func closedState() *breakerState {
	s := &breakerState{since: time.Now(), closed: make(chan struct{})}
	s.up, s.open = context.WithCancelCause(context.Background())
	return s
}

func newBreaker(ctx context.Context, name, label string, store Prober, silence time.Duration, log *slog.Logger, reg prometheus.Registerer) *breaker {
	b := &breaker{name: name, label: label, store: store, tick: silence / silentTicks, log: log, patience: silentTicks}
	b.state.Store(closedState())
	b.circuit = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        label,
		Timeout:     time.Nanosecond, // the watch has its own pace
		ReadyToTrip: func(c gobreaker.Counts) bool { return b.decided || c.ConsecutiveFailures >= b.patience },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				b.nowOpen()
			case gobreaker.StateClosed:
				b.nowClosed(ctx)
			}
		},
	})
	b.observe(reg)
	b.working.Go(func() { b.watch(ctx) })
	return b
}

// watch asks the store for signs of life until ctx ends.
func (b *breaker) watch(ctx context.Context) {
	type answer struct {
		alive bool
		err   error
		took  time.Duration
	}
	answers := make(chan answer, 1)
	ask := func() {
		began := time.Now()
		ctx, cancel := context.WithTimeout(ctx, probeLimit)
		defer cancel()
		alive, err := b.store.Probe(ctx)
		answers <- answer{alive, err, time.Since(began)}
	}
	ticker := time.NewTicker(b.tick)
	defer ticker.Stop()
	var (
		asked   int // ticks since the probe was sent; 0: none is under way
		failing error
		heard   = b.store.Heard()
	)
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-answers:
			asked = 0
			switch {
			case a.alive && a.err == nil:
				failing = nil
				b.patience = max(silentTicks, uint32(2*a.took/b.tick)) // probeLimit bounds it
				b.report(nil, false)
			case a.alive:
				failing = a.err
				b.report(a.err, true)
			case ctx.Err() == nil:
				failing = a.err
				if errors.Is(a.err, syscall.ECONNREFUSED) {
					b.report(a.err, true)
				}
			}
		case <-ticker.C:
			now := b.store.Heard()
			speaks := now != heard
			heard = now
			switch {
			case speaks:
				if b.state.Load().err == nil { // open, only a probe counts
					b.report(nil, false)
				}
			case failing != nil:
				b.report(failing, false)
			case asked > 0:
				b.report(fmt.Errorf("no sign of life for %s", b.tick*time.Duration(b.patience)), false)
			}
			if asked++; asked == 1 {
				b.working.Go(ask)
			}
		}
	}
}

// report hands a verdict to the circuit; it decides by itself or counts as one of many.
func (b *breaker) report(verdict error, decided bool) {
	done, err := b.circuit.Allow()
	for err != nil { // it was opened within this nanosecond
		time.Sleep(time.Microsecond)
		done, err = b.circuit.Allow()
	}
	b.verdict, b.decided = verdict, decided
	done(verdict)
}

// nowOpen and nowClosed are called by the circuit, so by the watch.
func (b *breaker) nowOpen() {
	e, ok := errors.AsType[*leadevents.Error](b.verdict)
	if !ok || !b.decided {
		e = leadevents.Wrap(leadevents.Unavailable, b.verdict, "%s does not answer; send the same request again", b.name)
		e.RetryAfter = retryDead
	}
	before := b.state.Load()
	if before.err != nil { // a probe has failed again, perhaps for another reason
		b.state.Store(&breakerState{err: e, since: before.since, up: before.up, open: before.open, closed: before.closed})
		return
	}
	b.state.Store(&breakerState{err: e, since: time.Now(), up: before.up, open: before.open, closed: before.closed})
	before.open(e)
	b.turned.WithLabelValues("open").Inc()
	b.log.Error("calls are refused until the store works again", "store", b.label, "reason", e.Message, "error", b.verdict)
}

func (b *breaker) nowClosed(ctx context.Context) {
	before := b.state.Load()
	b.state.Store(closedState())
	close(before.closed)
	b.turned.WithLabelValues("closed").Inc()
	b.log.Info("the store works again", "store", b.label, "after", time.Since(before.since).Round(time.Millisecond).String())

	b.mu.Lock()
	afterwards := b.afterwards
	b.afterwards = nil
	b.mu.Unlock()
	if len(afterwards) == 0 {
		return
	}
	b.working.Go(func() {
		for _, f := range afterwards {
			f(ctx)
		}
	})
}

// whenBack does f when the store is back: what a dead one was to be told, for
// tidiness. Beyond a bound the oldest are forgotten.
func (b *breaker) whenBack(f func(context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.afterwards) == afterwardsLimit {
		b.afterwards = b.afterwards[1:]
	}
	b.afterwards = append(b.afterwards, f)
}

// refusal is what a call is told while the breaker is open; nil while closed.
func (b *breaker) refusal() error {
	if e := b.state.Load().err; e != nil {
		return e
	}
	return nil
}

// refuse is refusal for a call that has not begun.
func (b *breaker) refuse() error {
	err := b.refusal()
	if err != nil {
		b.told.Inc()
	}
	return err
}

// within ends ctx when the breaker opens, with its error as the cause; with a
// grace, when it is still open after that. Call cancel in any case.
func (b *breaker) within(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	up := b.state.Load().up
	stop := context.AfterFunc(up, func() {
		if grace == 0 {
			end(context.Cause(up))
			return
		}
		time.AfterFunc(grace, func() {
			if e := b.state.Load().err; e != nil {
				end(e)
			}
		})
	})
	return ctx, func() { stop(); end(nil) }
}

// await waits until the breaker is closed, or ctx ends: then with the breaker's
// error.
func (b *breaker) await(ctx context.Context) error {
	for {
		s := b.state.Load()
		if s.err == nil {
			return nil
		}
		select {
		case <-s.closed:
		case <-ctx.Done():
			return s.err
		}
	}
}

// instead is the breaker's error in place of one that a dead store caused.
func (b *breaker) instead(err error) error {
	if e := b.state.Load().err; e != nil && err != nil {
		return &leadevents.Error{Kind: e.Kind, Message: e.Message, RetryAfter: e.RetryAfter, Err: err}
	}
	return err
}

// worked notes how a piece of work ended that a living store may refuse: for
// /readyz, and one line in the log for the first and one for the end of it.
func (b *breaker) worked(err error) {
	e, refused := errors.AsType[*leadevents.Error](err)
	before := b.refuses.Load()
	switch {
	case err == nil && before != nil:
		if b.refuses.CompareAndSwap(before, nil) {
			b.log.Info("the store takes what it is given again", "store", b.label, "after", time.Since(before.since).Round(time.Millisecond).String())
		}
	case refused && (before == nil || before.message != e.Message):
		if b.refuses.CompareAndSwap(before, &refusing{message: e.Message, since: time.Now()}) {
			b.log.Error("the store refuses what it is given", "store", b.label, "reason", e.Message, "error", e.Err)
		}
	}
}

func (b *breaker) observe(reg prometheus.Registerer) {
	store := prometheus.Labels{"store": b.label}
	b.turned = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "leadevents_store_breaker_changes_total", ConstLabels: store,
		Help: "Times a store's circuit breaker became open or closed."}, []string{"to"})
	b.told = prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_store_breaker_refused_total", ConstLabels: store,
		Help: "Calls refused because a store's circuit breaker was open."})
	gauge := func(name, help string, holds func() bool) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: store}, func() float64 {
			if holds() {
				return 1
			}
			return 0
		})
	}
	reg.MustRegister(b.turned, b.told,
		gauge("leadevents_store_breaker_open", "1 while calls are refused because a store does not work.",
			func() bool { return b.refusal() != nil }),
		gauge("leadevents_store_refusing", "1 while a store that lives refuses what it is given: its disk is full, ...",
			func() bool { return b.refuses.Load() != nil }))
	for _, to := range []string{"open", "closed"} {
		b.turned.WithLabelValues(to)
	}
}

// StoreStatus is what /readyz shows of a store.
type StoreStatus struct {
	Breaker string    `json:"breaker"` // closed, or open: calls are refused
	Since   time.Time `json:"since"`   // UTC
	Reason  string    `json:"reason,omitempty"`
	// Refuses is what the store answered instead of storing, the last time that it
	// was asked to.
	Refuses      string    `json:"refuses,omitempty"`
	RefusesSince time.Time `json:"refusesSince,omitzero"`
}

// Open says whether calls are refused because of this store.
func (s StoreStatus) Open() bool { return s.Breaker == "open" }

func (b *breaker) status() StoreStatus {
	s := b.state.Load()
	status := StoreStatus{Breaker: "closed", Since: s.since.UTC().Truncate(time.Millisecond)}
	if s.err != nil {
		status.Breaker, status.Reason = "open", s.err.Message
	}
	if r := b.refuses.Load(); r != nil {
		status.Refuses, status.RefusesSince = r.message, r.since.UTC().Truncate(time.Millisecond)
	}
	return status
}
