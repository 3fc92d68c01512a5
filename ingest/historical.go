package ingest

import (
	"context"
	"time"

	"leadevents"
)

// historical bounds backfill traffic: big calls of a run, or whose events are old.
// Each asks ClickHouse for all of its keys and adds to many partitions, and clients
// send as many as are taken. They are big calls among others, in bulk lanes, of
// which they may have so many; and they wait in a queue of their own, taken apart
// no sooner than one is to be next: what waits in a bulk lane's queue, or holds
// the gate, is never all history.
//
// What a call is shows when it has been decoded. One that must wait then gives its
// rows back and is decoded once more when it is its turn (20 ms of 50,000
// events): kept, a queue of eight would hold 300 MB, and the gate would be theirs.
// A large body with the header waits before it is decompressed.
type historical struct {
	age   time.Duration // beyond which an event is old
	rows  int           // more old events than that make a call one of these
	lanes int
	queue int
	wait  time.Duration

	calls   chan struct{} // a place for each that runs or waits
	ready   chan struct{} // for each that is taken apart: one more than run, where the gate is left to others
	running chan struct{}
}

func newHistorical(cfg *Config, wait time.Duration) *historical {
	return &historical{
		age: cfg.Horizon, rows: cfg.SmallRows, lanes: cfg.HistoricalLanes, queue: cfg.HistoricalQueue, wait: wait,
		calls: make(chan struct{}, cfg.HistoricalLanes+cfg.HistoricalQueue),
		// The gate has a place more than there are bulk lanes.
		ready:   make(chan struct{}, min(cfg.HistoricalLanes+1, cfg.BulkLanes)),
		running: make(chan struct{}, cfg.HistoricalLanes),
	}
}

// holds says whether a call is historical: not small, and of a run or with more old
// events than a small call has. By the age alone: while the ledger is in doubt
// live events need the cold check too.
func (h *historical) holds(call *Call, now time.Time) bool {
	if len(call.Events) <= h.rows {
		return false
	}
	if call.RunID != "" {
		return true
	}
	border, old := leadevents.MillisOf(now.Add(-h.age)), 0
	for i := range call.Events {
		if call.Events[i].OccurredAt < border {
			old++
		}
	}
	return old > h.rows
}

// visit is what one call holds of the historical lanes.
type visit struct {
	in            *Ingester
	queued, ready bool
}

// tryEnter takes a place where none has to be waited for.
func (v *visit) tryEnter() bool {
	if v.ready {
		return true
	}
	if !v.queued {
		select {
		case v.in.historical.calls <- struct{}{}:
			v.queued = true
		default:
			return false
		}
	}
	select {
	case v.in.historical.ready <- struct{}{}:
		v.ready = true
	default:
	}
	return v.ready
}

// enter waits until the call may be taken apart; the caller leaves. A full queue
// is a 503 at once.
func (v *visit) enter(ctx context.Context) error {
	h := v.in.historical
	if v.tryEnter() {
		return nil
	}
	if !v.queued {
		return v.in.full("ingest.historical_queue", h.queue)
	}
	began := time.Now()
	defer func() { v.in.metrics.historicalWaited.Add(time.Since(began).Seconds()) }()
	ctx, cancel := context.WithTimeout(ctx, h.wait)
	defer cancel()
	select {
	case h.ready <- struct{}{}:
		v.ready = true
		return nil
	case <-ctx.Done():
		if cause := context.Cause(ctx); isFinal(cause) { // a store has died meanwhile
			return cause
		}
		return leadevents.Wrap(leadevents.Unavailable, ctx.Err(),
			"a large call of old events has waited %s to be stored, %d at once (ingest.historical_lanes); send the same request again in a moment", h.wait, h.lanes)
	}
}

// run waits for a lane: bounded, those before it end by their deadlines.
func (v *visit) run(up context.Context) (leave func(), err error) {
	select {
	case v.in.historical.running <- struct{}{}:
		return func() { <-v.in.historical.running }, nil
	case <-up.Done():
		return nil, context.Cause(up)
	}
}

func (v *visit) leave() {
	if v.ready {
		<-v.in.historical.ready
	}
	if v.queued {
		<-v.in.historical.calls
	}
	v.ready, v.queued = false, false
}
