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
	historicalCalls // big ones of a backfill: one may make a part in each of a hundred years
	kinds
)

// shares is what each kind has of the rate; heirs is who has first what another leaves:
// half of it is for big calls, whether they are of a backfill or not.
var (
	shares = [kinds]float64{smallCalls: 0.5, bigCalls: 0.25, historicalCalls: 0.25}
	heirs  = [kinds]kind{bigCalls, historicalCalls, smallCalls}
)

// pace bounds the parts that the inserts make in lead_events a second: a token
// bucket for each kind, each filled with its share of the rate and with what runs
// over where others are full. So no kind waits for what another has made, and one
// that is alone has all of it.
//
// A group begins as soon as there is a token and may overdraw: how many parts it
// makes is known when it has been gathered. Its kind then waits until that is paid.
type pace struct {
	rate float64 // parts a second
	now  func() time.Time

	mu     sync.Mutex
	at     time.Time
	tokens [kinds]float64
}

// newPace allows rate parts a second.
func newPace(rate int, now func() time.Time) *pace {
	p := &pace{rate: float64(rate), now: now, at: now()}
	for k := range p.tokens {
		p.tokens[k] = p.burst(kind(k))
	}
	return p
}

// burst is what a kind may have saved: its share of a quarter of a second.
func (p *pace) burst(k kind) float64 { return max(1, p.rate*shares[k]/4) }

func (p *pace) refill() {
	now := p.now()
	more := max(0, now.Sub(p.at).Seconds()) * p.rate
	p.at = now
	spilt := 0.0
	for k := range p.tokens {
		p.tokens[k] += more * shares[k]
		if over := p.tokens[k] - p.burst(kind(k)); over > 0 {
			p.tokens[k] -= over
			spilt += over
		}
	}
	for _, k := range heirs {
		taken := min(spilt, p.burst(k)-p.tokens[k])
		p.tokens[k] += taken
		spilt -= taken
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
	return time.Duration(missing/p.rate*float64(time.Second)) + time.Microsecond // if the others need none
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
