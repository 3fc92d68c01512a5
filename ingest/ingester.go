package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
)

// Config bounds the write path.
type Config struct {
	// Queue is how many small calls may wait for the next group, as many again of
	// those with an Idempotency-Key; one more is refused with 503 at once. Default
	// 8,192.
	Queue int
	// Lanes is how many groups of small calls are under way at once, and as many of
	// those with an Idempotency-Key. Default 2:
	// while two are at work the next one fills, which is what makes groups grow
	// with the load.
	Lanes int
	// BulkLanes is how many big calls are under way at once; BulkQueue how many
	// may wait. Lanes of their own, so that neither starves the other.
	// Defaults 2 and 64.
	BulkLanes, BulkQueue int
	// HistoricalLanes is how many of the bulk lanes big calls of a backfill may have
	// at once, BulkLanes at most; HistoricalQueue how many may wait. Defaults 1 and 8.
	HistoricalLanes, HistoricalQueue int
	// Horizon is the ledger's: events beyond it are looked up in ClickHouse. Default 72 h.
	Horizon time.Duration
	// GroupRows, GroupBytes and GroupAge close a group: rows, bytes of metadata,
	// or the time since its first call. Defaults 10,000, 4 MiB, 5 ms.
	GroupRows  int
	GroupBytes int
	GroupAge   time.Duration
	// PartsPerSecond bounds the parts that inserts make in lead_events: small calls
	// have half of it, big ones a quarter, those of a backfill a quarter, and each
	// what the others leave. Default 100.
	PartsPerSecond int
	// SmallRows is the size up to which a call is gathered. Default 1,000.
	SmallRows int
	// InsertTimeout bounds one attempt to store. Default 10 s.
	InsertTimeout time.Duration
	// PeekTimeout bounds what comes before the deadline begins. Default 10 s.
	PeekTimeout time.Duration
	// Silence is how long a store may say nothing, though it is asked, until its
	// calls are refused. Default 700 ms.
	Silence time.Duration
	// Conflicts has duplicates looked up whose metadata is not what is stored.
	Conflicts bool
	// Erased and Retention tell which events are not taken though they are right; nil:
	// all are.
	Erased    Erased
	Retention Retention

	Logger  *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time
}

func (c *Config) setDefaults() {
	c.Queue = cmp.Or(c.Queue, 8192)
	c.Lanes = cmp.Or(c.Lanes, 2)
	c.BulkLanes = cmp.Or(c.BulkLanes, 2)
	c.BulkQueue = cmp.Or(c.BulkQueue, 64)
	c.HistoricalLanes = min(cmp.Or(c.HistoricalLanes, 1), c.BulkLanes)
	c.HistoricalQueue = cmp.Or(c.HistoricalQueue, 8)
	c.Horizon = cmp.Or(c.Horizon, 72*time.Hour)
	c.GroupRows = cmp.Or(c.GroupRows, 10_000)
	c.GroupBytes = cmp.Or(c.GroupBytes, 4<<20)
	c.GroupAge = cmp.Or(c.GroupAge, 5*time.Millisecond)
	c.PartsPerSecond = cmp.Or(c.PartsPerSecond, 100)
	c.SmallRows = cmp.Or(c.SmallRows, 1000)
	c.InsertTimeout = cmp.Or(c.InsertTimeout, 10*time.Second)
	c.PeekTimeout = cmp.Or(c.PeekTimeout, 10*time.Second)
	c.Silence = cmp.Or(c.Silence, 700*time.Millisecond)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Ingester takes calls through peek, cold check, store and seal.
type Ingester struct {
	cfg     Config
	store   Store
	ledger  Ledger
	log     *slog.Logger
	now     func() time.Time
	metrics metrics

	breakers breakers // store and ledger stand behind them

	small      *gatherer
	once       *gatherer // of calls with an Idempotency-Key
	pace       *pace
	bulk       chan struct{} // a place for each big call that runs or waits
	running    chan struct{} // a place for each big call that runs
	historical *historical   // bounds those of a backfill
	gate       *gate         // large bodies come through it before they are decoded
	mender     *mender
	receipted  receipted // batches known to have receipts

	mu       sync.RWMutex
	closed   bool
	inFlight sync.WaitGroup // calls and groups
	gatherer sync.WaitGroup
	life     context.Context // of the groups: not of any request
	stop     context.CancelFunc
}

// New starts the gatherers; Close ends it.
func New(cfg Config, store Store, ledger Ledger) *Ingester {
	cfg.setDefaults()
	in := &Ingester{
		cfg: cfg, ledger: ledger, log: cfg.Logger, now: cfg.Now,
		pace:    newPace(cfg.PartsPerSecond, time.Now),
		bulk:    make(chan struct{}, cfg.BulkLanes+cfg.BulkQueue),
		running: make(chan struct{}, cfg.BulkLanes),
	}
	in.small, in.once = newGatherer(in, false), newGatherer(in, true)
	in.gate = newGate(cfg.BulkLanes, in.Drain())
	in.historical = newHistorical(&in.cfg, in.Drain())
	in.metrics = newMetrics(cfg.Metrics, in)
	in.life, in.stop = context.WithCancel(context.Background())
	in.breakers.store = newBreaker(in.life, "the event store (ClickHouse)", "clickhouse", store, cfg.Silence, cfg.Logger, cfg.Metrics)
	in.breakers.ledger = newBreaker(in.life, "the ledger (Redis)", "redis", ledger, cfg.Silence, cfg.Logger, cfg.Metrics)
	in.store, in.ledger = guardedStore{store, in.breakers.store}, guardedLedger{ledger, in.breakers.ledger, in.breakers.store}
	in.mender = newMender(in.store, in.breakers.store, 3*ledger.Deadline(), cfg.Logger)
	in.breakers.store.working.Go(func() { in.mender.run(in.life) })
	in.gatherer.Go(in.small.run)
	in.gatherer.Go(in.once.run)
	return in
}

// Close refuses new calls, lets those in flight finish, and returns when they
// have, or when ctx ends: then they are cut off, unanswered and unsealed.
func (in *Ingester) Close(ctx context.Context) error {
	in.mu.Lock()
	already := in.closed
	in.closed = true
	in.mu.Unlock()
	if already {
		return nil
	}
	finished := make(chan struct{})
	go func() {
		in.inFlight.Wait()
		close(finished)
	}()
	var err error
	select {
	case <-finished:
	case <-ctx.Done():
		err = fmt.Errorf("finish ingest calls in flight: %w", ctx.Err())
	}
	in.stop()
	<-finished
	close(in.small.queue)
	close(in.once.queue)
	in.gatherer.Wait()
	in.breakers.wait()
	if in.mender.owes() {
		return err // the name that stays in the ledger tells the others
	}
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
	defer cancel()
	if left := in.ledger.Leave(leaving); left != nil {
		in.cfg.Logger.Warn("others will repair states for this server as if it had died", "error", left)
	}
	return err
}

// leaveLimit bounds the wait for Redis at the end: without it others only work more.
const leaveLimit = time.Second

// Submit stores a call and returns its answer. It returns only when the call has
// ended, also when ctx has: the rows may be on their way, and they alias the
// body. How long that takes is bounded by the queue and the deadlines, not by
// the client.
func (in *Ingester) Submit(ctx context.Context, call *Call) (Result, error) {
	in.mu.RLock()
	if in.closed {
		in.mu.RUnlock()
		return Result{}, leadevents.Errorf(leadevents.Unavailable, "the server is stopping; send the same request again")
	}
	in.inFlight.Add(1)
	in.mu.RUnlock()
	defer in.inFlight.Done()

	call.begun = in.now()
	var result Result
	err := in.breakers.refusal()
	if err != nil {
		in.metrics.count(result, call, err)
		return result, err
	}
	call.id = leadevents.NewBatchID() // its Idempotency-Key may give it another
	result, err = in.submit(call)
	in.metrics.count(result, call, err)
	return result, err
}

// submit queues a call and waits for its end.
func (in *Ingester) submit(call *Call) (Result, error) {
	call.done = make(chan struct{})
	call.size()
	switch {
	case call.DryRun || call.rows > in.cfg.SmallRows:
		up, cancel := in.breakers.within(context.Background())
		defer cancel()
		if err := in.alone(up, call); err != nil {
			return Result{}, err
		}
	case call.once() && !in.once.put(call), !call.once() && !in.small.put(call):
		return Result{}, in.full("ingest.queue", in.cfg.Queue)
	}
	return call.await(in.breakers)
}

// alone runs a big call, or one that stores nothing, as a group of its own.
func (in *Ingester) alone(up context.Context, call *Call) error {
	kind := bigCalls
	if in.historical.holds(call, call.begun) {
		kind = historicalCalls
		visit := call.visit
		if visit == nil {
			visit = in.visit()
			defer visit.leave()
		}
		if err := visit.enter(up); err != nil {
			return err
		}
		leave, err := visit.run(up)
		if err != nil {
			return err
		}
		defer leave()
	}
	select {
	case in.bulk <- struct{}{}:
	default:
		return in.full("ingest.bulk_queue", cap(in.bulk))
	}
	defer func() { <-in.bulk }()
	select {
	case in.running <- struct{}{}: // bounded: those before us end by their deadlines
	case <-up.Done():
		return context.Cause(up)
	}
	defer func() { <-in.running }()
	if !call.DryRun {
		paused := time.Now()
		if err := in.pace.acquire(up, kind, call.years.parts()); err != nil {
			return context.Cause(up)
		}
		in.metrics.paced.Add(time.Since(paused).Seconds())
	}
	in.runGroup([]*Call{call})
	return nil
}

// visit is one that holds nothing yet.
func (in *Ingester) visit() *visit { return &visit{in: in} }

// Stores is what the write path knows of the life of ClickHouse and of Redis.
func (in *Ingester) Stores() (clickHouse, redis StoreStatus) {
	return in.breakers.store.status(), in.breakers.ledger.status()
}

func (in *Ingester) full(setting string, limit int) error {
	in.metrics.refused.Inc()
	return leadevents.Errorf(leadevents.Unavailable, "%d calls are waiting to be stored (%s); send the same request again in a moment", limit, setting)
}

// runGroup runs a group and ends its calls: all of one kind, with an
// Idempotency-Key or without.
func (in *Ingester) runGroup(calls []*Call) {
	if calls = begin(calls); len(calls) == 0 {
		return
	}
	in.metrics.groups.Observe(float64(len(calls)))
	ctx, cancel := context.WithTimeout(in.life, in.cfg.PeekTimeout+in.ledger.Deadline())
	defer cancel()
	if calls[0].once() {
		in.runOnce(ctx, calls)
		return
	}
	err := in.runTogether(ctx, calls)
	for _, call := range calls {
		call.finish(err)
	}
}

// runTogether takes calls through the store; the error is for the client.
func (in *Ingester) runTogether(ctx context.Context, calls []*Call) error {
	err := (&group{in: in, calls: calls}).run(ctx)
	if err != nil {
		in.log.Warn("ingest group failed", "calls", len(calls), "error", err)
	}
	return told(err)
}

// told makes an error one that says what the client is to do.
func told(err error) error {
	if err == nil || isFinal(err) {
		return err
	}
	return leadevents.Wrap(leadevents.Unavailable, err, "the event could not be stored just now; send the same request again")
}

// isFinal says whether the error already says what the client is to be told.
func isFinal(err error) bool {
	_, ok := errors.AsType[*leadevents.Error](err)
	return ok
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
