package ingest

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"leadevents"
)

// gatherer collects small calls into groups: a lane takes what has gathered as
// soon as it is free, the group is old or full enough, and the pace allows it. So
// a lonely call waits GroupAge at most, and under load the groups grow instead of
// the queue. Calls are taken in the order they came, so no connection is served
// before another.
type gatherer struct {
	in    *Ingester
	queue chan *Call
	lanes chan struct{}
	// apart keeps calls that hold the same event out of each other's groups; left
	// are those that wait for a later group because of it.
	apart bool
	left  []*Call
}

// leftLimit bounds the calls that wait because they hold an event of the group
// that is gathered: with so many, no others are taken in until it has gone.
const leftLimit = 256

func newGatherer(in *Ingester, apart bool) *gatherer {
	return &gatherer{in: in, queue: make(chan *Call, in.cfg.Queue), lanes: make(chan struct{}, in.cfg.Lanes), apart: apart}
}

// put queues a call, if there is room.
func (g *gatherer) put(call *Call) bool {
	select {
	case g.queue <- call:
		return true
	default:
		return false
	}
}

// run ends when the queue is closed and the last group has ended.
func (g *gatherer) run() {
	var atWork sync.WaitGroup
	defer atWork.Wait()
	for {
		calls := g.next()
		if calls == nil {
			return
		}
		g.in.inFlight.Add(1)
		atWork.Go(func() {
			defer g.in.inFlight.Done()
			defer func() { <-g.lanes }()
			g.in.runGroup(calls)
		})
	}
}

// gathering is a group that still takes calls in.
type gathering struct {
	calls       []*Call
	rows, bytes int
	years       years
	marks       map[uint64]struct{}
}

// add takes a call in, unless it holds an event of another.
func (n *gathering) add(call *Call, apart bool) bool {
	if apart {
		if slices.ContainsFunc(call.marks, func(mark uint64) bool { _, held := n.marks[mark]; return held }) {
			return false
		}
		if n.marks == nil {
			n.marks = map[uint64]struct{}{}
		}
		for _, mark := range call.marks {
			n.marks[mark] = struct{}{}
		}
	}
	n.calls = append(n.calls, call)
	n.rows, n.bytes = n.rows+call.rows, n.bytes+call.bytes
	n.years = n.years.with(call.years)
	return true
}

func (n *gathering) full(cfg *Config) bool {
	return n.rows >= cfg.GroupRows || n.bytes >= cfg.GroupBytes
}

// next gathers a group and takes a lane for it; nil when the queue is closed.
func (g *gatherer) next() []*Call {
	var group gathering
	g.left = slices.DeleteFunc(g.left, func(call *Call) bool {
		return call.fate.Load() == withdrawn || !group.full(&g.in.cfg) && group.add(call, g.apart)
	})
	if len(group.calls) == 0 {
		first, ok := <-g.queue
		if !ok {
			return nil
		}
		group.add(first, g.apart)
	}
	var (
		due    = time.NewTimer(g.in.cfg.GroupAge)
		queue  = g.queue
		old    = false       // it need not wait for more calls
		free   chan struct{} // the lanes, once it may go
		paused time.Time     // since when only the pace holds it
	)
	defer due.Stop()
	for {
		if !old && (queue == nil || group.full(&g.in.cfg) || len(g.left) >= leftLimit) {
			queue, old = nil, true
			due.Reset(0)
		}
		select {
		case call, ok := <-queue:
			switch {
			case !ok:
				queue = nil
			case !group.add(call, g.apart):
				g.left = append(g.left, call)
			}
			if group.full(&g.in.cfg) || len(g.left) >= leftLimit {
				queue = nil
			}
		case <-due.C:
			old = true
			if d := g.in.pace.wait(smallCalls); d > 0 {
				if paused.IsZero() {
					paused = time.Now()
				}
				due.Reset(d)
				continue
			}
			if !paused.IsZero() {
				g.in.metrics.paced.Add(time.Since(paused).Seconds())
				paused = time.Time{}
			}
			free = g.lanes
		case free <- struct{}{}:
			g.in.pace.take(smallCalls, group.years.parts())
			return group.calls
		}
	}
}

// size notes what a group must know of a call while its events may be gone: one
// that was taken back is not looked into.
func (c *Call) size() {
	c.rows, c.bytes = max(len(c.Events)+len(c.Rejects), 1), 0 // a reject is a row of the receipt
	for i := range c.Events {
		c.bytes += len(c.Events[i].Metadata)
	}
	c.years = yearsOf(c.Events)
	if !c.once() {
		return
	}
	// Two events that share a mark by accident cost a call the wait for the next
	// group, nothing more.
	c.marks = make([]uint64, len(c.Events))
	for i := range c.Events {
		c.marks[i] = maphash.Comparable(marksSeed, leadevents.Key{
			Org: c.Org, EventType: c.EventType, Phone: c.Events[i].Phone, OccurredAt: c.Events[i].OccurredAt,
		})
	}
}

var marksSeed = maphash.MakeSeed()
