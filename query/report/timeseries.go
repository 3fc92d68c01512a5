package report

import (
	"slices"
	"strings"

	"leadevents"
	"leadevents/query/audience"
)

// Measure is what a timeseries counts.
type Measure string

// The measures.
const (
	Events Measure = "events"
	Leads  Measure = "leads" // distinct ones, in each interval
)

// Timeseries counts events or leads in each interval of a range.
type Timeseries struct {
	Range
	EventTypes []string // 1 to MaxEventTypes, distinct: a series each
	Where      []audience.Condition
	Measure    Measure
	Interval   Interval
	Zone       Zone
	// Breakdown makes a series for each of an event type's groups, nil for none.
	Breakdown *Split
}

// DecodeTimeseries reads the question, strictly. Its errors are those of
// [audience.ReadObject].
func DecodeTimeseries(raw []byte) (Timeseries, error) {
	var q Timeseries
	o, err := audience.ReadObject(raw, "", "eventTypes", "measure", "interval", fieldFrom, fieldTo, fieldTimeZone, fieldWhere, fieldBreakdown, fieldApproximate)
	if err != nil {
		return q, err
	}
	types, err := o.List("eventTypes", "event types", 1, MaxEventTypes)
	if err != nil {
		return q, err
	}
	for at, raw := range types {
		v := audience.ScalarOf(raw)
		if v.Kind != audience.StringValue {
			return q, leadevents.Errorf(leadevents.InvalidRequest, "%s must be a string", at)
		}
		q.EventTypes = append(q.EventTypes, v.Text)
	}
	q.Measure = Events
	if o.Has("measure") {
		text, err := o.Text("measure")
		if err != nil {
			return q, err
		}
		q.Measure = Measure(text)
	}
	interval, err := o.Text("interval")
	if err != nil {
		return q, err
	}
	q.Interval = Interval(interval)
	if q.Range, err = decodeRange(o); err != nil {
		return q, err
	}
	if q.Zone, err = decodeZone(o); err != nil {
		return q, err
	}
	if q.Where, err = o.Conditions(fieldWhere); err != nil {
		return q, err
	}
	if q.Breakdown, err = decodeSplit(o); err != nil {
		return q, err
	}
	return q, q.Validate()
}

// Validate checks a question that was made in Go as strictly as the codec checks
// those it reads. Errors are leadevents.InvalidRequest.
func (q Timeseries) Validate() error {
	if n := len(q.EventTypes); n < 1 || n > MaxEventTypes {
		return leadevents.Errorf(leadevents.InvalidRequest, "eventTypes holds %d event types; it must be 1 to %d", n, MaxEventTypes)
	}
	for i, eventType := range q.EventTypes {
		at := place("eventTypes", i)
		if err := audience.ValidateEventType(eventType, at); err != nil {
			return err
		}
		if slices.Contains(q.EventTypes[:i], eventType) {
			return leadevents.Errorf(leadevents.InvalidRequest, "%s stands in the list before: each type is one series", at)
		}
	}
	if q.Measure != Events && q.Measure != Leads {
		return leadevents.Errorf(leadevents.InvalidRequest, "measure must be events or leads; got %s", audience.Quoted(string(q.Measure)))
	}
	if !slices.Contains(Intervals(), q.Interval) {
		return leadevents.Errorf(leadevents.InvalidRequest, "interval must be one of %s; got %s", intervalNames(Intervals()), audience.Quoted(string(q.Interval)))
	}
	if err := q.Range.validate(); err != nil {
		return err
	}
	if err := audience.ValidateConditions(q.Where, fieldWhere); err != nil {
		return err
	}
	if err := q.Breakdown.validate(fieldBreakdown); err != nil {
		return err
	}
	starts, ok := q.Zone.starts(q.From, q.To, q.Interval, MaxIntervals)
	if !ok {
		return leadevents.Errorf(leadevents.InvalidRequest, "the range has more than %d intervals of one %s, which is the most: ask for longer intervals, or a shorter range", MaxIntervals, q.Interval)
	}
	series := len(q.EventTypes)
	if q.Breakdown != nil {
		series *= q.Breakdown.Limit + 1
	}
	if n := len(starts) * series; n > MaxNumbers {
		return leadevents.Errorf(leadevents.InvalidRequest, "the answer may have %d numbers (%d intervals of up to %d series); at most %d are allowed: ask for longer intervals, or a lower breakdown.limit", n, len(starts), series, MaxNumbers)
	}
	return nil
}

func intervalNames(intervals []Interval) string {
	names := make([]string, len(intervals))
	for i, v := range intervals {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}

// Starts are the starts of the intervals, of which the first may be before From. The
// question must be valid.
func (q Timeseries) Starts() []leadevents.Millis {
	starts, _ := q.Zone.starts(q.From, q.To, q.Interval, MaxIntervals)
	return starts
}

// AppendJSON appends the question's canonical JSON.
func (q Timeseries) AppendJSON(b []byte) []byte {
	b = append(b, `{"eventTypes":[`...)
	for i, t := range q.EventTypes {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, t)
	}
	b = appendText(append(b, `],"measure":`...), string(q.Measure))
	b = appendText(append(b, `,"interval":`...), string(q.Interval))
	b = q.Zone.appendJSON(q.Range.appendJSON(b))
	return append(q.Breakdown.appendJSON(appendWhere(b, q.Where)), '}')
}

// Series is one line of a timeseries.
type Series struct {
	EventType string   `json:"eventType"`
	Group     *Group   `json:"group,omitempty"` // nil without a breakdown
	Counts    []uint64 `json:"counts"`          // one for each interval
}

// Count answers the question about rows: the meaning that the store's answer must equal. A
// breakdown's groups are the largest in the whole range, by the measure, and each
// type has its own.
func (q Timeseries) Count(rows []Event) []Series {
	events := Deduplicated(rows)
	starts := q.Starts()
	all := []Series{}
	for _, eventType := range q.EventTypes {
		chosen := Selection{eventType, q.Where}
		var selected []Event
		for _, e := range events {
			if e.OccurredAt >= q.From && e.OccurredAt < q.To && chosen.matches(e) {
				selected = append(selected, e)
			}
		}
		if q.Breakdown == nil {
			all = append(all, Series{EventType: eventType, Counts: q.counts(selected, starts)})
			continue
		}
		for _, g := range q.Breakdown.groups(selected, q.Measure) {
			all = append(all, Series{EventType: eventType, Group: &g.Group, Counts: q.counts(g.events, starts)})
		}
	}
	return all
}

func (q Timeseries) counts(events []Event, starts []leadevents.Millis) []uint64 {
	counts := make([]uint64, len(starts))
	seen := make([]map[leadevents.Phone]bool, len(starts))
	for _, e := range events {
		i, exact := slices.BinarySearch(starts, e.OccurredAt)
		if !exact {
			i--
		}
		if q.Measure == Leads {
			if seen[i] == nil {
				seen[i] = map[leadevents.Phone]bool{}
			}
			if seen[i][e.Phone] {
				continue
			}
			seen[i][e.Phone] = true
		}
		counts[i]++
	}
	return counts
}
