package loadgen

import (
	"fmt"
	"time"

	"leadevents"
)

// Config says which events to make. The zero values of the fields marked with a
// default stand for it.
type Config struct {
	Seed       uint64
	Org        leadevents.OrgID
	EventTypes []string // default [DefaultEventTypes]; the first is the most frequent
	Leads      uint64   // size of the pool of leads, default 1,000,000, at most 2^32
	BatchRows  uint64   // events of one call, all of one type, default 50,000
	Times      Times

	// Repeats is how many of 1,000 events take the key of another event, an
	// eighth of them of the same call. The other may itself be a repeat and so
	// missing: the share of duplicates is about Repeats × (1000 − Repeats) / 1000.
	Repeats uint64
	// Rejects is how many of 1,000 events have a phone that must be rejected.
	Rejects uint64
}

// Times says when events occurred and arrived.
type Times struct {
	From, To leadevents.Millis // occurredAt lies in [From, To)
	// InOrder is the number of events over which occurredAt rises evenly from
	// From to To; 0 spreads every event over the whole range at random.
	InOrder uint64
	// ArrivedFrom is when the first call arrived, for a backfill: call n follows at
	// 200,000 events a second. Zero means live: a call arrives up to two
	// seconds after its last event (InOrder) or after To.
	ArrivedFrom leadevents.Millis
}

// Live is events of the last five minutes before now, as they happen.
func Live(now leadevents.Millis) Times {
	return Times{From: now.Add(-5 * time.Minute), To: now}
}

// Horizon is events of the 72 hours before now, late but within the default horizon.
func Horizon(now leadevents.Millis) Times {
	return Times{From: now.Add(-72 * time.Hour), To: now}
}

// History is a backfill of the years before now, minus the last 73 hours so
// that none is within the default horizon. With inOrder events the files are
// sorted by time; with 0 they are not.
func History(now leadevents.Millis, years int, inOrder uint64) Times {
	return Times{
		From: now.Add(-time.Duration(years) * 365 * 24 * time.Hour), To: now.Add(-73 * time.Hour),
		InOrder: inOrder, ArrivedFrom: now,
	}
}

// The independent random sequences. Each starts at a point of its own on the
// ring of 2^64 numbers that intHash64 scrambles.
const (
	ofRepeat = iota
	ofSource
	ofLead
	ofPhone
	ofTime
	ofMetadata
	ofReject
	ofBatch
	ofArrival
	ofSchedule
	sequences
)

// Generator makes the events of one [Config]. It is immutable: goroutines may share it.
type Generator struct {
	cfg      Config
	span     uint64            // of occurredAt, in ms
	step     uint64            // between two events in order, in ms; 0 when not in order
	start    [sequences]uint64 // of each random sequence
	schedule [slots]uint8      // event type of call n: schedule[n % slots]
}

// slots is the length of the tables that weigh event types and countries; a
// power of two, small enough to stand in an SQL text.
const slots = 256

// New checks cfg and prepares a generator.
func New(cfg Config) (*Generator, error) {
	if len(cfg.EventTypes) == 0 {
		cfg.EventTypes = DefaultEventTypes()
	}
	if cfg.Leads == 0 {
		cfg.Leads = 1_000_000
	}
	if cfg.BatchRows == 0 {
		cfg.BatchRows = 50_000
	}
	switch {
	case cfg.Org == 0:
		return nil, fmt.Errorf("loadgen needs an organization id above 0")
	case len(cfg.EventTypes) > 64:
		return nil, fmt.Errorf("loadgen makes at most 64 event types, %d were asked for", len(cfg.EventTypes))
	case cfg.Leads > 1<<32:
		return nil, fmt.Errorf("loadgen makes at most 2^32 leads, %d were asked for", cfg.Leads)
	case cfg.Times.From < leadevents.MinOccurredAt || cfg.Times.To > leadevents.MaxOccurredAt || cfg.Times.From >= cfg.Times.To:
		return nil, fmt.Errorf("loadgen needs times from < to within 1970 and 2100, got %s to %s", cfg.Times.From, cfg.Times.To)
	case cfg.Repeats >= 1000 || cfg.Rejects >= 1000:
		return nil, fmt.Errorf("loadgen takes repeats and rejects of 0 to 999 per mille, got %d and %d", cfg.Repeats, cfg.Rejects)
	}
	g := &Generator{cfg: cfg, span: uint64(cfg.Times.To - cfg.Times.From)}
	if cfg.Times.InOrder > 0 {
		g.step = max(1, g.span/cfg.Times.InOrder)
	}
	for s := range g.start {
		g.start[s] = scramble(scramble(cfg.Seed) + uint64(s))
	}
	g.fillSchedule()
	return g, nil
}

// fillSchedule deals the slots out to the event types by Zipf's law (weight 1/rank;
// every type gets at least one) and shuffles them.
func (g *Generator) fillSchedule() {
	weights := 0.0
	for rank := range g.cfg.EventTypes {
		weights += 1 / float64(rank+1)
	}
	n := 0
	for rank := len(g.cfg.EventTypes) - 1; rank > 0; rank-- {
		for range max(1, int(slots/weights/float64(rank+1)+0.5)) {
			g.schedule[n] = uint8(rank)
			n++
		}
	} // the rest stays 0, the most frequent type
	for i := uint64(slots - 1); i > 0; i-- {
		j := g.random(ofSchedule, i) % (i + 1)
		g.schedule[i], g.schedule[j] = g.schedule[j], g.schedule[i]
	}
}

// scramble is ClickHouse's SQL function intHash64, a bijection.
func scramble(x uint64) uint64 {
	x ^= 0x4CF2D2BAAE6DA887
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x
}

func (g *Generator) random(sequence int, i uint64) uint64 { return scramble(g.start[sequence] + i) }

// Event is one made event.
type Event struct {
	leadevents.Event
	EventType string
	Batch     leadevents.BatchID // as SelectSQL stores it; through the API the server draws its own
	Arrived   leadevents.Millis  // ingested_at as SelectSQL stores it
	Rejected  bool               // its phone is sent in a form that must be rejected
}

// Key is the event's key.
func (g *Generator) Key(e *Event) leadevents.Key {
	return leadevents.Key{Org: g.cfg.Org, EventType: e.EventType, Phone: e.Phone, OccurredAt: e.OccurredAt}
}

// Event makes event number i into e, whose Metadata buffer is reused.
func (g *Generator) Event(i uint64, e *Event) {
	batch := i / g.cfg.BatchRows
	source := g.source(i)
	kind := g.schedule[batch%slots]
	e.EventType = g.cfg.EventTypes[kind]
	e.Phone = g.phone(g.lead(source))
	e.OccurredAt = g.cfg.Times.From + leadevents.Millis(g.occurred(source))
	e.Metadata = appendMetadata(e.Metadata[:0], int(kind), g.random(ofMetadata, source))
	e.Batch = leadevents.BatchID(g.random(ofBatch, batch)>>1 | 1)
	e.Arrived = g.arrived(batch)
	e.Rejected = g.rejected(i)
}

// source is the event whose key event i has: itself, or for a repeat another
// of the same type, in the same call or a whole number of schedules before.
func (g *Generator) source(i uint64) uint64 {
	if g.random(ofRepeat, i)%1000 >= g.cfg.Repeats {
		return i
	}
	r := g.random(ofSource, i)
	place := i % g.cfg.BatchRows
	rounds := i / g.cfg.BatchRows / slots
	switch {
	case place > 0 && (rounds == 0 || r%8 == 0):
		return i - 1 - r>>3%place
	case rounds > 0:
		return i - slots*g.cfg.BatchRows*(1+r>>3%rounds)
	}
	return i
}

// lead squares a random fraction: the density of events falls with the root of
// the lead's number, so the first 1 % of the pool gets 10 % of the events.
func (g *Generator) lead(source uint64) uint64 {
	u := g.random(ofLead, source) >> 32
	return (u * u >> 32) * g.cfg.Leads >> 32
}

// occurred is when the event occurred, in ms after From.
func (g *Generator) occurred(source uint64) uint64 {
	r := g.random(ofTime, source)
	if g.step > 0 {
		return source*g.step + r%g.step
	}
	return r % g.span
}

func (g *Generator) arrived(batch uint64) leadevents.Millis {
	t := g.cfg.Times
	switch {
	case t.ArrivedFrom > 0:
		return t.ArrivedFrom + leadevents.Millis(batch*g.cfg.BatchRows/200)
	case g.step > 0:
		return t.From + leadevents.Millis((batch+1)*g.cfg.BatchRows*g.step+g.random(ofArrival, batch)%2000)
	}
	return t.To + leadevents.Millis(g.random(ofArrival, batch)%2000)
}

func (g *Generator) rejected(i uint64) bool { return g.random(ofReject, i)%1000 < g.cfg.Rejects }

// EventType is the event type of call number batch.
func (g *Generator) EventType(batch uint64) string {
	return g.cfg.EventTypes[g.schedule[batch%slots]]
}

// Config is the generator's configuration, defaults filled in.
func (g *Generator) Config() Config { return g.cfg }
