package audience

import (
	"slices"
	"strings"
	"time"

	"leadevents"
)

// Event is what a filter sees of one of a lead's events. Of one key (event
// type, occurredAt) there should be one event; if there are more, the key is
// counted once if any of them meets the conditions.
type Event struct {
	EventType  string
	OccurredAt leadevents.Millis
	Metadata   []byte // a JSON object; anything else has no paths
}

// Match tells whether a filter passes a lead with these events: kept by it, not
// yet by the others.
func Match(f Filter, events []Event, fireAt leadevents.Millis, clockSkew time.Duration) bool {
	return f.weigh(events, fireAt, clockSkew).Passed
}

// Evidence is what a filter found at one lead.
type Evidence struct {
	Passed bool
	Events int // distinct events that match the filter
	// LastEvent is the latest of them, nil without any. It aliases the events
	// that were given.
	LastEvent *Event
}

// Verdict is the answer of a list of filters about one lead.
type Verdict struct {
	Kept bool
	// DroppedBy is the index of the first filter that drops the lead, -1 if it
	// is kept.
	DroppedBy int
	Filters   []Evidence // one each, also those after the first that drops
}

// Evaluate answers filters, ANDed, about one lead. No filters keep every lead.
func Evaluate(filters []Filter, events []Event, fireAt leadevents.Millis, clockSkew time.Duration) Verdict {
	v := Verdict{Kept: true, DroppedBy: -1, Filters: make([]Evidence, len(filters))}
	for i, f := range filters {
		v.Filters[i] = f.weigh(events, fireAt, clockSkew)
		if !v.Filters[i].Passed && v.Kept {
			v.Kept, v.DroppedBy = false, i
		}
	}
	return v
}

// weigh counts the distinct events that match and decides.
func (f Filter) weigh(events []Event, fireAt leadevents.Millis, clockSkew time.Duration) Evidence {
	var e Evidence
	var times []leadevents.Millis
	for i := range events {
		if !f.matches(&events[i], fireAt, clockSkew) {
			continue
		}
		times = append(times, events[i].OccurredAt)
		if e.LastEvent == nil || events[i].OccurredAt > e.LastEvent.OccurredAt {
			e.LastEvent = &events[i]
		}
	}
	slices.Sort(times)
	e.Events = len(slices.Compact(times))
	e.Passed = (e.Events >= f.MinCount) == (f.Mode == Include)
	return e
}

// matches tells whether one event is of the type, in the window, and meets all
// the conditions.
func (f Filter) matches(event *Event, fireAt leadevents.Millis, clockSkew time.Duration) bool {
	if event.EventType != f.EventType {
		return false
	}
	if from, to, bounded := f.Window(fireAt, clockSkew); bounded && (event.OccurredAt < from || event.OccurredAt > to) {
		return false
	}
	return HoldAll(f.Where, event.Metadata)
}

// HoldAll tells whether metadata meets all the conditions. Metadata that is not
// JSON has no paths.
func HoldAll(conditions []Condition, metadata []byte) bool {
	if len(conditions) == 0 {
		return true
	}
	valid := validJSON(metadata)
	return !slices.ContainsFunc(conditions, func(c Condition) bool { return !c.holds(metadata, valid) })
}

func (c Condition) holds(metadata []byte, valid bool) bool {
	var raw []byte
	exists := false
	if valid {
		raw, exists = lookup(metadata, c.Levels())
		exists = exists && raw[0] != 'n' // null does not exist
	}
	if c.Op == Exists {
		return exists == c.Value.Bool
	}
	if !exists {
		return false
	}
	v, _ := parseScalarOrNone(raw)
	switch c.Op {
	case Eq:
		return v.equal(c.Value)
	case Ne:
		return !v.equal(c.Value)
	case In:
		return slices.ContainsFunc(c.Value.Elements, v.equal)
	default:
		return v.ordered(c.Op, c.Value)
	}
}

// ordered is gt, gte, lt and lte: for two numbers or two strings, else not.
func (v Value) ordered(op Op, w Value) bool {
	if v.Kind != w.Kind {
		return false
	}
	var order int
	switch v.Kind {
	case NumberValue:
		order = v.Number.Compare(w.Number)
	case StringValue:
		order = strings.Compare(v.Text, w.Text)
	default:
		return false
	}
	switch op {
	case Gt:
		return order > 0
	case Gte:
		return order >= 0
	case Lt:
		return order < 0
	case Lte:
		return order <= 0
	default:
		return false
	}
}
