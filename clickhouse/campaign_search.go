package clickhouse

import (
	"bytes"
	"context"
	"fmt"

	"github.com/ClickHouse/ch-go"

	"leadevents"
	"leadevents/query/audience"
)

// way is how a preview finds out whom a filter knows.
type way uint8

const (
	nobody   way = iota // the window lies where no event can
	byState             // lead_states: a row or so a lead and type, in the order of phones
	byTime              // lead_events between two times, or all of them: rows in the order of time
	byEvents            // lead_events, counted or looked into
)

// fewerRows is how many times fewer rows a window must have for lead_events to be
// asked: a row found there costs a search among the leads, 100 ns, one in the order
// of phones a step, 14 ns with all that the server does for it.
const fewerRows = 8

// ways chooses how each filter is asked.
func (v *evaluation) ways(ctx context.Context) ([]way, error) {
	ways := make([]way, len(v.Filters))
	for i, f := range v.Filters {
		from, to, bounded := f.Window(v.FireAt, v.ClockSkew)
		switch {
		case bounded && (to < leadevents.MinOccurredAt || from > leadevents.MaxOccurredAt):
			ways[i] = nobody
		case f.MinCount > 1 || len(f.Where) > 0:
			ways[i] = byEvents
		case v.isUndoing(f.EventType):
			ways[i] = byTime // states do not know yet what is undone
		case !bounded:
			ways[i] = byState
		default:
			q := v.question(everyPhone)
			events, states, err := q.estimate(ctx, q.events(f, ""), q.states(f))
			if err != nil {
				return nil, err
			}
			if ways[i] = byState; events*fewerRows < states {
				ways[i] = byTime
			}
		}
	}
	return ways, nil
}

// estimate is how many rows the server would read for each of two FROMs, of
// different tables, by its sorting keys alone.
func (q *question) estimate(ctx context.Context, events, states string) (ofEvents, ofStates uint64, err error) {
	err = q.db.conn.QueryRow(q.bind(ctx), "SELECT sumIf(rows, table = 'lead_events'), sumIf(rows, table = 'lead_states') FROM (EXPLAIN ESTIMATE SELECT phone "+
		events+" UNION ALL SELECT phone "+states+")").Scan(&ofEvents, &ofStates)
	if err != nil {
		return 0, 0, unavailable(fmt.Errorf("estimate a filter: %w", err))
	}
	return ofEvents, ofStates, nil
}

// sentLeads: up to so many leads are sent to the server, which then answers with
// those of them that it knows. Of more, all that it knows are read and merged
// with them here: a million in a hash table are looked up for longer, 25 ns a row,
// than the rows travel.
const sentLeads = 100_000

// search is for those of a slice's leads whom a filter knows.
type search struct {
	*question
	leads phoneList
	found marks
}

// sent is the leads as a table that travels with a query; ofSent the condition.
func sent(leads phoneList) []ch.ExternalTable { return []ch.ExternalTable{phoneColumn("sent", leads)} }

const ofSent = " AND phone IN (SELECT phone FROM sent)"

// read marks the phones of an answer.
func (s search) read(ctx context.Context, sql string, external []ch.ExternalTable) error {
	return s.question.read(ctx, sql, external, false, func(phones []uint64, _ []uint8) { s.leads.mark(s.found, phones) })
}

// filter marks the leads that have the events that a filter asks for.
func (s search) filter(ctx context.Context, f audience.Filter, w way) error {
	among, table := "", []ch.ExternalTable(nil)
	if len(s.leads) <= sentLeads {
		among, table = ofSent, sent(s.leads)
	}
	_, _, bounded := f.Window(s.FireAt, s.ClockSkew)
	switch {
	case w == nobody:
		return nil
	case w == byTime:
		return s.read(ctx, "SELECT phone "+s.events(f, among), table)
	case w == byEvents: // whoever is counted is grouped: only leads
		counted, err := s.counted(ctx, f, ofSent)
		if err != nil {
			return err
		}
		return s.read(ctx, fmt.Sprintf("SELECT phone FROM (%s) WHERE events >= %d", counted, f.MinCount), sent(s.leads))
	case bounded:
		return s.within(ctx, f, among, table)
	default:
		return s.read(ctx, "SELECT phone "+s.states(f)+among, table)
	}
}

// within marks the leads that have an event in a window, by their states: one whose
// last event lies in it has, one whose last lies before it has not, and those whose
// last lies behind it are looked up among the events. A state may be one of several
// of its lead and type, since merges come later; each is of some events, and says
// the same of them.
func (s search) within(ctx context.Context, f audience.Filter, among string, table []ch.ExternalTable) error {
	from, to, _ := f.Window(s.FireAt, s.ClockSkew)
	var (
		later      = s.leads.marks()
		in, behind []uint64
		sql        = "SELECT phone, last_at > " + s.moment(min(to, leadevents.MaxOccurredAt)) + " AS flag " +
			s.statesSince(f, max(from, leadevents.MinOccurredAt)) + among
	)
	err := s.question.read(ctx, sql, table, true, func(phones []uint64, flags []uint8) {
		if bytes.IndexByte(flags, 1) < 0 {
			s.leads.mark(s.found, phones)
			return
		}
		in, behind = in[:0], behind[:0]
		for i, p := range phones {
			if flags[i] == 0 {
				in = append(in, p)
			} else {
				behind = append(behind, p)
			}
		}
		s.leads.mark(s.found, in)
		s.leads.mark(later, behind)
	})
	if err != nil {
		return err
	}
	if unknown := s.leads.picked(later, s.found); len(unknown) > 0 {
		return s.read(ctx, "SELECT phone "+s.events(f, ofSent), sent(unknown))
	}
	return nil
}
