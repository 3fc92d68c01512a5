package reconcile

import (
	"context"
	"fmt"
	"slices"

	"leadevents"
)

// sliceLeads is how many leads are compared together: at 40 bytes each 80 MB in
// ClickHouse, and every slice reads the type's rows (phone and time) once more.
const sliceLeads = 2_000_000

// kind is what is wrong with a state; "" where nothing is. A first event that the sweep of
// expired ones has set earlier than the first row is not wrong.
func (s State) kind(expires bool) Kind {
	switch {
	case !s.HasRows && !s.HasState:
		return ""
	case !s.HasState:
		return StatesMissing
	case !s.HasRows:
		return StatesExtra
	case s.Last > s.RowsLast || s.First < s.RowsFirst && !expires:
		return StatesWide // and perhaps narrow at its other end: mending makes both right
	case s.First > s.RowsFirst || s.Last < s.RowsLast:
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

// again looks at leads that differ once more, a pause later. A busy lead may have a new
// event at either look, whose state is milliseconds behind it: so the rows of the first
// look are held to the state of the second, and a state that reaches too far to the rows
// that there are by then.
func (l *run) again(ctx context.Context, s Slice, compared Compared) (map[Kind][]State, error) {
	states := l.wrong(s, compared.States)
	if len(states) == 0 {
		return nil, nil
	}
	if err := l.pause(ctx); err != nil {
		return nil, err
	}
	seen, err := l.store.StatesOf(ctx, l.org, s.EventType, phonesOf(states))
	if err != nil {
		return nil, err
	}
	now := make(map[leadevents.Phone]State, len(seen))
	for _, state := range seen {
		now[state.Phone] = state
	}
	for i := range states {
		was, is := &states[i], now[states[i].Phone]
		if kind := was.kind(s.Expires); kind == StatesMissing || kind == StatesNarrow {
			was.HasState, was.First, was.Last = is.HasState, is.First, is.Last
			was.HasRows = is.HasRows // they may have been removed
		} else {
			was.HasRows, was.RowsFirst, was.RowsLast = is.HasRows, is.RowsFirst, is.RowsLast
			was.HasState = is.HasState
		}
	}
	byKind := map[Kind][]State{}
	for _, state := range l.wrong(s, states) {
		kind := state.kind(s.Expires)
		byKind[kind] = append(byKind[kind], state)
	}
	return byKind, nil
}

// wrong are those that differ and are not being erased.
func (l *run) wrong(s Slice, states []State) []State {
	return slices.DeleteFunc(states, func(state State) bool {
		return l.around.Erasing[state.Phone] || state.kind(s.Expires) == ""
	})
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
