package reconcile

import (
	"context"
	"fmt"
	"math"
	"slices"

	"leadevents"
)

// sliceLeads is how many leads are compared together: at 40 bytes each 80 MB in
// ClickHouse, and every slice reads the type's rows (phone and time) once more.
const sliceLeads = 2_000_000

// stretch is from a first to a last time; empty where they are the other way round.
type stretch struct{ first, last leadevents.Millis }

var noStretch = stretch{math.MaxInt64, math.MinInt64}

func (s stretch) empty() bool            { return s.first > s.last }
func (s stretch) with(o stretch) stretch { return stretch{min(s.first, o.first), max(s.last, o.last)} }
func (s stretch) inBoth(o stretch) stretch {
	return stretch{max(s.first, o.first), min(s.last, o.last)}
}

func (s State) rows() stretch {
	if !s.HasRows {
		return noStretch
	}
	return stretch{s.RowsFirst, s.RowsLast}
}

func (s State) state() stretch {
	if !s.HasState {
		return noStretch
	}
	return stretch{s.First, s.Last}
}

// still is what is wrong at both of two looks, "" where nothing is. A busy lead may have a
// new event at either, whose state comes before its row or behind it; so a state falls
// short where neither look's reaches the times of rows that both saw, and reaches too far
// where both do, beyond the rows of either. A first event that the sweep of expired ones
// has set earlier than the first row is not wrong.
func (s State) still(later State, expires bool) Kind {
	rows, state := s.rows().with(later.rows()), s.state().inBoth(later.state())
	switch {
	case state.empty():
	case rows.empty():
		return StatesExtra
	case state.last > rows.last || state.first < rows.first && !expires:
		return StatesWide // and perhaps narrow at its other end: mending makes both right
	}
	rows, state = s.rows().inBoth(later.rows()), s.state().with(later.state())
	switch {
	case rows.empty():
	case state.empty():
		return StatesMissing
	case state.first > rows.first || state.last < rows.last:
		return StatesNarrow
	}
	return ""
}

func (s State) String() string {
	span := func(has bool, first, last leadevents.Millis) string {
		if !has {
			return "none"
		}
		return fmt.Sprintf("%s to %s", first, last)
	}
	return fmt.Sprintf("lead +%d: events %s, state %s", uint64(s.Phone), span(s.HasRows, s.RowsFirst, s.RowsLast), span(s.HasState, s.First, s.Last))
}

// states compares every lead of every type.
func (l *run) states(ctx context.Context) error {
	types, err := l.store.StoredTypes(ctx, l.org)
	if err != nil {
		return err
	}
	slices.Sort(types)
	for n, eventType := range types {
		if err := l.statesOf(ctx, eventType); err != nil {
			return fmt.Errorf("%d of %d types were looked at: %w", n, len(types), err)
		}
	}
	return nil
}

var stateKinds = []Kind{StatesMissing, StatesNarrow, StatesWide, StatesExtra}

func (l *run) statesOf(ctx context.Context, eventType string) error {
	rows, err := l.store.StateRows(ctx, l.org, eventType)
	if err != nil {
		return err
	}
	all := map[Kind]*Difference{}
	for _, kind := range stateKinds {
		all[kind] = &Difference{Kind: kind, EventType: eventType}
	}
	parts := int(rows/sliceLeads) + 1
	for n := range parts {
		if err = l.slice(ctx, Slice{EventType: eventType, Number: n, Of: parts, Expires: l.around.expires(eventType)}, all); err != nil {
			break
		}
	}
	for _, kind := range stateKinds {
		l.found(*all[kind])
	}
	return err
}

// slice looks at a slice, again at what differs, mends it, and looks at what is left.
func (l *run) slice(ctx context.Context, s Slice, all map[Kind]*Difference) error {
	compared, err := l.store.CompareStates(ctx, l.org, s, l.cfg.Memory)
	if err != nil {
		return err
	}
	l.report.Leads += compared.Leads
	byKind, err := l.again(ctx, s, compared)
	if err != nil || len(byKind) == 0 {
		return err
	}
	few := compared.sum() <= MaxStates // else of those beyond only the number is known
	for kind, states := range byKind {
		d, n := all[kind], uint64(len(states))
		if !few {
			n = compared.Differ[kind]
		}
		d.Count += n
		if d.Example == "" {
			d.Example = states[0].String()
		}
	}
	if !l.repair {
		return nil
	}
	if err := l.mend(ctx, s, byKind, few); err != nil {
		return err
	}
	left, err := l.store.CompareStates(ctx, l.org, s, l.cfg.Memory)
	if err != nil {
		return err
	}
	stays, err := l.again(ctx, s, left)
	if err != nil {
		return err
	}
	for kind, states := range byKind {
		n := uint64(len(states))
		if !few {
			n = compared.Differ[kind]
		}
		if len(stays) > 0 {
			n -= min(n, left.Differ[kind])
		}
		all[kind].Repaired += n
	}
	return nil
}

func (c Compared) sum() (n uint64) {
	for _, differ := range c.Differ {
		n += differ
	}
	return n
}

// looks is how often what differs is looked at again, each pause twice the one before: a
// state comes before its row, and the row may take as long as a request's deadline.
const looks = 4

// Pauses is how many times Config.Pause a state that differs is waited for.
const Pauses = 1<<looks - 1

// again looks at leads that differ again and again, until they do not or that was long
// enough.
func (l *run) again(ctx context.Context, s Slice, compared Compared) (map[Kind][]State, error) {
	states, kinds := l.wrong(s, compared.States, compared.States)
	for n := 0; n < looks && len(states) > 0; n++ {
		if err := l.pause(ctx, 1<<n); err != nil {
			return nil, err
		}
		seen, err := l.store.StatesOf(ctx, l.org, s.EventType, phonesOf(states))
		if err != nil {
			return nil, err
		}
		states, kinds = l.wrong(s, states, seen)
	}
	if len(states) == 0 {
		return nil, nil
	}
	byKind := map[Kind][]State{}
	for i, state := range states {
		byKind[kinds[i]] = append(byKind[kinds[i]], state)
	}
	return byKind, nil
}

// wrong are those that differ at a later look too and are not being erased, with what is
// wrong. A lead that the later look has not found has neither rows nor a state any more.
func (l *run) wrong(s Slice, states, seen []State) (wrong []State, kinds []Kind) {
	later := make(map[leadevents.Phone]State, len(seen))
	for _, state := range seen {
		later[state.Phone] = state
	}
	for _, state := range states {
		if kind := state.still(later[state.Phone], s.Expires); kind != "" && !l.around.Erasing[state.Phone] {
			wrong, kinds = append(wrong, state), append(kinds, kind)
		}
	}
	return wrong, kinds
}

// mend makes states those of the rows. Adding never does harm. What reaches too far is
// removed first, with the rest of its lead's state, and added a moment later: for
// so long filters do not find a lead whose state was wrong. A crash in between leaves
// missing states, which the next run adds.
func (l *run) mend(ctx context.Context, s Slice, byKind map[Kind][]State, few bool) error {
	if len(byKind[StatesWide])+len(byKind[StatesExtra]) > 0 {
		if err := l.store.DropStates(ctx, l.org, s); err != nil {
			return err
		}
	}
	var phones []leadevents.Phone // nil: all of the slice
	if few && len(byKind[StatesWide]) == 0 {
		for _, kind := range []Kind{StatesMissing, StatesNarrow} {
			phones = append(phones, phonesOf(byKind[kind])...)
		}
		if len(phones) == 0 {
			return nil
		}
	}
	return l.store.AddStates(ctx, l.org, s, phones)
}

func phonesOf(states []State) []leadevents.Phone {
	phones := make([]leadevents.Phone, len(states))
	for i := range states {
		phones[i] = states[i].Phone
	}
	return phones
}
