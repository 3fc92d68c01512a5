package ingest

import (
	"context"
	"math/bits"
	"sort"
	"sync"
	"time"

	"leadevents"
)

// kind is what has a share of its own of the parts that may be made.
type kind int

const (
	smallCalls kind = iota
	bigCalls
	kinds
)

// pace bounds the parts that the inserts make in lead_events a second: a token
// bucket for each kind, each filled with half of the rate and, where the other is
// full, with its share too. So neither kind waits for what the other has made,
// and one that is alone has all of it.
//
// A group begins as soon as there is a token and may overdraw: how many parts it
// makes is known when it has been gathered. Its kind then waits until that is paid.
type pace struct {
	rate  float64 // of each kind, parts a second
	burst float64 // what a kind may have saved
	now   func() time.Time

	mu     sync.Mutex
	at     time.Time
	tokens [kinds]float64
}

// newPace allows rate parts a second; a quarter of a second may be saved up.
func newPace(rate int, now func() time.Time) *pace {
	each := float64(rate) / float64(kinds)
	p := &pace{rate: each, burst: max(1, each/4), now: now, at: now()}
	for k := range p.tokens {
		p.tokens[k] = p.burst
	}
	return p
}

func (p *pace) refill() {
	now := p.now()
	more := max(0, now.Sub(p.at).Seconds()) * p.rate
	p.at = now
	spilt := 0.0
	for k := range p.tokens {
		p.tokens[k] += more
		if over := p.tokens[k] - p.burst; over > 0 {
			p.tokens[k] = p.burst
			spilt += over
		}
	}
	for k := range p.tokens {
		p.tokens[k] = min(p.burst, p.tokens[k]+spilt)
	}
}

// wait is how long at least until the kind has a token; zero if it has. Ask again
// afterwards.
func (p *pace) wait(k kind) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill()
	missing := 1 - p.tokens[k]
	if missing <= 1e-6 { // a token that rounding has taken a grain of
		return 0
	}
	fastest := p.rate * float64(kinds) // if the others need none
	return time.Duration(missing/fastest*float64(time.Second)) + time.Microsecond
}

// take pays for parts.
func (p *pace) take(k kind, parts int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill()
	p.tokens[k] -= float64(parts)
}

// acquire waits for a token and pays.
func (p *pace) acquire(ctx context.Context, k kind, parts int) error {
	for {
		d := p.wait(k)
		if d == 0 {
			p.take(k, parts)
			return nil
		}
		if err := sleep(ctx, d); err != nil {
			return err
		}
	}
}

// years is a set of the years in which events lie: the partitions of lead_events,
// of which each gets a part of its own.
type years [3]uint64

// firstYear is that of leadevents.MinOccurredAt.
const firstYear = 1970

// yearStarts are the beginnings of the years, and the end of the last.
var yearStarts = func() []leadevents.Millis {
	var starts []leadevents.Millis
	for y := firstYear; ; y++ {
		start := leadevents.MillisOf(time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC))
		starts = append(starts, start)
		if start > leadevents.MaxOccurredAt {
			return starts
		}
	}
}()

func yearsOf(events []leadevents.Event) (y years) {
	in := 0 // the year of the event before
	for i := range events {
		at := events[i].OccurredAt
		if at < yearStarts[in] || at >= yearStarts[in+1] {
			in = sort.Search(len(yearStarts)-2, func(n int) bool { return at < yearStarts[n+1] })
		}
		y[in/64] |= 1 << (in % 64)
	}
	return y
}

func (y years) with(other years) years {
	for i := range y {
		y[i] |= other[i]
	}
	return y
}

// parts is how many parts an insert of such events makes; a group that stores
// nothing still makes one, of its receipts.
func (y years) parts() int {
	n := 0
	for _, word := range y {
		n += bits.OnesCount64(word)
	}
	return max(n, 1)
}
