package report

import (
	"strconv"

	"leadevents"
	"leadevents/query/audience"
)

// Limits of reports. What an answer may hold is bounded, so that it fits into memory here
// and is of use to somebody.
const (
	MaxEventTypes = 10
	// MaxIntervals are a week of minutes, and more than a year of hours.
	MaxIntervals = 10_080
	MaxGroups    = 100
	// MaxNumbers of a timeseries: intervals × series.
	MaxNumbers   = 250_000
	MaxQuantiles = 10
	MinSteps     = 2
	MaxSteps     = 10
	// MaxPeriods of a retention: more than a year of days.
	MaxPeriods = 400
)

// Defaults of what a question need not say.
const (
	DefaultGroups = 10
)

// Range is what every report is about: the events in a stretch of time, half-open.
type Range struct {
	From, To leadevents.Millis
	// Approximate asks for speed: events that are stored twice may count twice, and leads
	// and quantiles are estimated.
	Approximate bool
}

func (r Range) validate() error {
	if r.From >= r.To {
		return leadevents.Errorf(leadevents.InvalidRequest, "to must be after from: the range is half-open, from from on and before to")
	}
	return nil
}

// Selection is which events count: those of a type that meet the conditions.
type Selection struct {
	EventType string
	Where     []audience.Condition
}

func (s Selection) validate(at string) error {
	if err := audience.ValidateEventType(s.EventType, at+"eventType"); err != nil {
		return err
	}
	return audience.ValidateConditions(s.Where, at+"where")
}

// matches tells whether an event is of the type and meets the conditions.
func (s Selection) matches(e Event) bool {
	return e.EventType == s.EventType && audience.HoldAll(s.Where, e.Metadata)
}

// Split divides the events of a report by the value at a path of their metadata: the Limit
// most frequent groups, and the others together.
type Split struct {
	Path  string
	Limit int
}

func (s *Split) validate(at string) error {
	if s == nil {
		return nil
	}
	if err := audience.ValidatePath(s.Path, at+".path"); err != nil {
		return err
	}
	if s.Limit < 1 || s.Limit > MaxGroups {
		return leadevents.Errorf(leadevents.InvalidRequest, "%s.limit must be a whole number from 1 to %d", at, MaxGroups)
	}
	return nil
}

// The fields that several questions have.
const (
	fieldFrom        = "from"
	fieldTo          = "to"
	fieldTimeZone    = "timeZone"
	fieldWhere       = "where"
	fieldEventType   = "eventType"
	fieldBreakdown   = "breakdown"
	fieldApproximate = "approximate"
)

func decodeRange(o audience.Object) (r Range, err error) {
	if r.From, err = o.Moment(fieldFrom); err != nil {
		return r, err
	}
	if r.To, err = o.Moment(fieldTo); err != nil {
		return r, err
	}
	r.Approximate, err = o.Flag(fieldApproximate)
	return r, err
}

func (r Range) appendJSON(b []byte) []byte {
	b = append(b, `,"from":"`+r.From.String()+`","to":"`+r.To.String()+`"`...)
	if r.Approximate {
		b = append(b, `,"approximate":true`...)
	}
	return b
}

// decodeZone reads the field timeZone; not given is UTC.
func decodeZone(o audience.Object) (Zone, error) {
	if !o.Has(fieldTimeZone) {
		return UTC, nil
	}
	name, err := o.Text(fieldTimeZone)
	if err != nil {
		return Zone{}, err
	}
	return LoadZone(name, o.Place(fieldTimeZone))
}

func (z Zone) appendJSON(b []byte) []byte {
	return appendText(append(b, `,"timeZone":`...), z.String())
}

func decodeSelection(o audience.Object) (s Selection, err error) {
	if s.EventType, err = o.Text(fieldEventType); err != nil {
		return s, err
	}
	s.Where, err = o.Conditions(fieldWhere)
	return s, err
}

// selectionAt reads a field that is an object with eventType and where.
func selectionAt(o audience.Object, name string) (Selection, error) {
	if !o.Has(name) {
		return Selection{}, o.Missing(name)
	}
	in, err := audience.ReadObject(o.Raw(name), o.Place(name), fieldEventType, fieldWhere)
	if err != nil {
		return Selection{}, err
	}
	return decodeSelection(in)
}

func (s Selection) appendJSON(b []byte) []byte {
	b = appendText(append(b, `{"eventType":`...), s.EventType)
	return append(appendWhere(b, s.Where), '}')
}

func appendWhere(b []byte, where []audience.Condition) []byte {
	if len(where) == 0 {
		return b
	}
	return audience.AppendConditions(append(b, `,"where":`...), where)
}

// decodeSplit reads the field breakdown; nil without it.
func decodeSplit(o audience.Object) (*Split, error) {
	if !o.Has(fieldBreakdown) {
		return nil, nil
	}
	in, err := audience.ReadObject(o.Raw(fieldBreakdown), o.Place(fieldBreakdown), "path", "limit")
	if err != nil {
		return nil, err
	}
	s := &Split{}
	if s.Path, err = in.Text("path"); err != nil {
		return nil, err
	}
	s.Limit, err = in.Count("limit", DefaultGroups, MaxGroups)
	return s, err
}

func (s *Split) appendJSON(b []byte) []byte {
	if s == nil {
		return b
	}
	b = appendText(append(b, `,"breakdown":{"path":`...), s.Path)
	return append(strconv.AppendInt(append(b, `,"limit":`...), int64(s.Limit), 10), '}')
}

func appendText(b []byte, s string) []byte {
	return audience.Value{Kind: audience.StringValue, Text: s}.AppendJSON(b)
}
