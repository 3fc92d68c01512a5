package audience

import (
	"slices"

	"leadevents"
)

// MaxEventTypes bounds how many types one question about events may name.
const MaxEventTypes = 100

// EventQuery says which of an organization's events are asked for.
type EventQuery struct {
	EventTypes []string          // nil for all
	Phone      leadevents.Phone  // 0 for all
	From, To   leadevents.Millis // [From, To)
	Where      []Condition       // all hold on the metadata, as in a filter
}

// EveryMoment is the To that ends nothing.
const EveryMoment = leadevents.MaxOccurredAt + 1

// DecodeWhere reads the conditions of a question, a JSON array as in a filter; at names
// it in the errors, which are those of [DecodeFilter].
func DecodeWhere(raw []byte, at string) ([]Condition, error) {
	raw, err := checked(raw, at)
	if err != nil {
		return nil, err
	}
	conditions, err := decodeConditions(raw, at)
	for i, c := range conditions {
		if err == nil {
			err = c.validate(index(at, i))
		}
	}
	if err != nil {
		return nil, err
	}
	return conditions, nil
}

// Validate checks types that were read from a query string or a command line, under the
// name that a client gave them by.
func (q *EventQuery) Validate(types string) error {
	if len(q.EventTypes) > MaxEventTypes {
		return refuse(types, "is given %d times; at most %d are allowed", len(q.EventTypes), MaxEventTypes)
	}
	for _, t := range q.EventTypes {
		if err := validateEventType(t, types); err != nil {
			return err
		}
	}
	return nil
}

// Holds tells whether an event is asked for.
func (q *EventQuery) Holds(e *leadevents.StoredEvent) bool {
	return (q.EventTypes == nil || slices.Contains(q.EventTypes, e.EventType)) &&
		(q.Phone == 0 || q.Phone == e.Phone) &&
		q.From <= e.OccurredAt && e.OccurredAt < q.To &&
		HoldAll(q.Where, e.Metadata)
}

// AppendJSON appends the question in one spelling: equal ones are the same bytes.
func (q *EventQuery) AppendJSON(b []byte) []byte {
	b = append(b, `{"eventTypes":[`...)
	types := slices.Clone(q.EventTypes)
	slices.Sort(types)
	for i, t := range slices.Compact(types) {
		if i > 0 {
			b = append(b, ',')
		}
		b = Value{Kind: StringValue, Text: t}.appendJSON(b)
	}
	b = append(b, `],"phone":"`...)
	b = q.Phone.AppendTo(b)
	b = append(b, `","from":"`+q.From.String()+`","to":"`+q.To.String()+`","where":`...)
	return append(Filter{MinCount: 1, Where: q.Where}.AppendJSON(b), '}')
}
