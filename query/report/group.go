package report

import (
	"cmp"
	"strings"

	"leadevents/query/audience"
)

// GroupKind says what the events of a group have at the path that they are divided by.
type GroupKind string

// The kinds of groups. What two events have there is the same where the filter eq says so:
// "5" and 5 are two groups, 5 and 5.0 one. Arrays and objects equal nothing, so each
// of the two kinds is one group.
const (
	OfValue   GroupKind = "value"   // a string, number or boolean
	OfArray   GroupKind = "array"   // whatever it holds
	OfObject  GroupKind = "object"  // likewise
	OfMissing GroupKind = "missing" // nothing, or null
	OfOther   GroupKind = "other"   // what is in none of the groups that are shown
)

// Group is the name of a group of events.
type Group struct {
	Kind  GroupKind
	Value audience.Value // of OfValue
}

// GroupOf is the group of a value at a path of an event's metadata.
func GroupOf(v audience.Value) Group {
	switch v.Kind {
	case audience.NoValue, audience.NullValue:
		return Group{Kind: OfMissing}
	case audience.ArrayValue:
		return Group{Kind: OfArray}
	case audience.ObjectValue:
		return Group{Kind: OfObject}
	default:
		return Group{OfValue, v}
	}
}

// Key tells groups apart.
func (g Group) Key() string {
	if g.Kind != OfValue {
		return string(g.Kind)
	}
	return string(g.Value.AppendJSON([]byte("= ")))
}

// MarshalJSON is {"kind":"value","value":"gold"}, or {"kind":"missing"}.
func (g Group) MarshalJSON() ([]byte, error) {
	b := append([]byte(`{"kind":"`), g.Kind...)
	b = append(b, '"')
	if g.Kind == OfValue {
		b = g.Value.AppendJSON(append(b, `,"value":`...))
	}
	return append(b, '}'), nil
}

// rank is the place of the group's kind among groups that are equally large.
func (g Group) rank() int {
	switch g.Kind {
	case OfValue:
		switch {
		case g.Value.Kind == audience.BoolValue && !g.Value.Bool:
			return 0
		case g.Value.Kind == audience.BoolValue:
			return 1
		case g.Value.Kind == audience.NumberValue:
			return 2
		default:
			return 3
		}
	case OfArray:
		return 4
	case OfObject:
		return 5
	case OfMissing:
		return 6
	default:
		return 7
	}
}

// Compare orders groups that are equally large: false, true, numbers by their value,
// strings by code point, arrays, objects, what has none, others.
func (g Group) Compare(h Group) int {
	if order := cmp.Compare(g.rank(), h.rank()); order != 0 || g.Kind != OfValue {
		return order
	}
	if g.Value.Kind == audience.NumberValue {
		return g.Value.Number.Compare(h.Value.Number)
	}
	return strings.Compare(g.Value.Text, h.Value.Text)
}
