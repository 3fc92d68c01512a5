package report

import (
	"cmp"
	"slices"
	"strconv"

	"leadevents"
	"leadevents/query/audience"
)

// Funnel counts how far leads get on a way of steps.
//
// The events of a lead are in order of their moments; those of one millisecond in the
// order in which their types first stand in the steps. A lead starts with each event of the
// first step in the range. From a start it takes each next step with the first event
// behind that of the step before that meets it, and which occurred not later than
// Minutes after the start, to the millisecond; that may be after the range. The lead's
// funnel is that of the start from which it gets furthest, of several the first. It is
// counted once, at each step that it reaches.
//
// So a step that occurred in the same millisecond as the one before is reached, and of
// two steps of one type the second needs a second event.
type Funnel struct {
	Range
	Steps   []Selection
	Minutes int // from the first step to the last one
	// Breakdown divides the leads by the metadata of the event that they start with.
	Breakdown *Split
}

// DecodeFunnel reads the question, strictly. Its errors are those of
// [audience.ReadObject].
func DecodeFunnel(raw []byte) (Funnel, error) {
	var q Funnel
	o, err := audience.ReadObject(raw, "", "steps", "within", fieldFrom, fieldTo, fieldBreakdown, fieldApproximate)
	if err != nil {
		return q, err
	}
	steps, err := o.List("steps", "steps", MinSteps, MaxSteps)
	if err != nil {
		return q, err
	}
	for at, raw := range steps {
		in, err := audience.ReadObject(raw, at, fieldEventType, fieldWhere)
		if err != nil {
			return q, err
		}
		step, err := decodeSelection(in)
		if err != nil {
			return q, err
		}
		q.Steps = append(q.Steps, step)
	}
	if !o.Has("within") {
		return q, o.Missing("within")
	}
	within, err := audience.ReadObject(o.Raw("within"), "within", "minutes")
	if err != nil {
		return q, err
	}
	if q.Minutes, err = within.Count("minutes", 0, audience.MaxMinutes); err != nil {
		return q, err
	}
	if q.Range, err = decodeRange(o); err != nil {
		return q, err
	}
	if q.Breakdown, err = decodeSplit(o); err != nil {
		return q, err
	}
	return q, q.Validate()
}

// Validate checks a question that was made in Go as strictly as the codec checks
// those it reads. Errors are leadevents.InvalidRequest.
func (q Funnel) Validate() error {
	if n := len(q.Steps); n < MinSteps || n > MaxSteps {
		return leadevents.Errorf(leadevents.InvalidRequest, "steps holds %d steps; it must be %d to %d", n, MinSteps, MaxSteps)
	}
	for i, step := range q.Steps {
		if err := step.validate(place("steps", i) + "."); err != nil {
			return err
		}
	}
	if q.Minutes < 1 || q.Minutes > audience.MaxMinutes {
		return leadevents.Errorf(leadevents.InvalidRequest, "within.minutes must be a whole number from 1 to %d", audience.MaxMinutes)
	}
	if err := q.Range.validate(); err != nil {
		return err
	}
	return q.Breakdown.validate(fieldBreakdown)
}

// Window is the longest time from the first step to the last one.
func (q Funnel) Window() leadevents.Millis { return leadevents.Millis(q.Minutes) * 60_000 }

// Types are the event types of the steps, each once, in the order in which they first
// stand there.
func (q Funnel) Types() []string {
	var types []string
	for _, step := range q.Steps {
		if !slices.Contains(types, step.EventType) {
			types = append(types, step.EventType)
		}
	}
	return types
}

// Empty is the answer about no leads.
func (q Funnel) Empty() Way {
	w := Way{Steps: make([]Step, len(q.Steps))}
	for i, step := range q.Steps {
		w.Steps[i].EventType = step.EventType
	}
	return w
}

// AppendJSON appends the question's canonical JSON.
func (q Funnel) AppendJSON(b []byte) []byte {
	b = append(b, `{"steps":[`...)
	for i, step := range q.Steps {
		if i > 0 {
			b = append(b, ',')
		}
		b = step.appendJSON(b)
	}
	b = strconv.AppendInt(append(b, `],"within":{"minutes":`...), int64(q.Minutes), 10)
	return append(q.Breakdown.appendJSON(q.Range.appendJSON(append(b, '}'))), '}')
}

// Step is what a funnel says of one step.
type Step struct {
	EventType string `json:"eventType"`
	Leads     uint64 `json:"leads"` // that reached it
	// Conversion is the share of the leads that started, FromPrevious of those that
	// reached the step before; nil where there are none.
	Conversion   *float64 `json:"conversion"`
	FromPrevious *float64 `json:"fromPrevious"`
	// MedianMillis is the median time since the step before, of those who reached this one:
	// the one at place floor(n / 2), from 0, of the n in order. Nil at the first step and
	// without leads.
	MedianMillis *int64 `json:"medianMillis"`
}

// Way is a funnel's answer about some leads.
type Way struct {
	Group *Group `json:"group,omitempty"`
	Steps []Step `json:"steps"`
}

// Ways are a funnel's answer: of all leads, and with a breakdown of each group.
type Ways struct {
	Way
	Groups []Way `json:"groups,omitzero"` // nil without a breakdown
}

// Fill computes the shares of a way whose counts and medians are known.
func (w *Way) Fill() {
	for i := range w.Steps {
		w.Steps[i].Conversion = share(w.Steps[i].Leads, w.Steps[0].Leads)
		if i > 0 {
			w.Steps[i].FromPrevious = share(w.Steps[i].Leads, w.Steps[i-1].Leads)
		}
	}
}

// share is a part of a whole, nil of nothing.
func share(part, whole uint64) *float64 {
	if whole == 0 {
		return nil
	}
	f := float64(part) / float64(whole)
	return &f
}

// walk is a lead's funnel.
type walk struct {
	start Event
	at    []leadevents.Millis // of the steps that it reached
}

// Follow answers the question about rows: the meaning that the store's answer must
// equal.
func (q Funnel) Follow(rows []Event) Ways {
	byLead := map[leadevents.Phone][]Event{}
	for _, e := range Deduplicated(rows) {
		byLead[e.Phone] = append(byLead[e.Phone], e)
	}
	var walks []walk
	for _, events := range byLead {
		if w, started := q.walk(events); started {
			walks = append(walks, w)
		}
	}
	ways := Ways{Way: q.way(walks)}
	if q.Breakdown == nil {
		return ways
	}
	ways.Groups = []Way{}
	starts, of := make([]Event, len(walks)), map[leadevents.Phone]walk{}
	for i, w := range walks {
		starts[i], of[w.start.Phone] = w.start, w
	}
	for _, g := range q.Breakdown.groups(starts, Events) {
		var theirs []walk
		for _, e := range g.events {
			theirs = append(theirs, of[e.Phone])
		}
		way := q.way(theirs)
		way.Group = &g.Group
		ways.Groups = append(ways.Groups, way)
	}
	return ways
}

// walk is the funnel of a lead with these events; false if it has no start.
func (q Funnel) walk(events []Event) (best walk, started bool) {
	types := q.Types()
	slices.SortFunc(events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.OccurredAt, b.OccurredAt), slices.Index(types, a.EventType)-slices.Index(types, b.EventType))
	})
	for first, start := range events {
		if start.OccurredAt < q.From || start.OccurredAt >= q.To || !q.Steps[0].matches(start) {
			continue
		}
		w, last := walk{start, []leadevents.Millis{start.OccurredAt}}, first
		for _, step := range q.Steps[1:] {
			next := slices.IndexFunc(events[last+1:], step.matches)
			if last += next + 1; next < 0 || events[last].OccurredAt > start.OccurredAt+q.Window() {
				break
			}
			w.at = append(w.at, events[last].OccurredAt)
		}
		if !started || len(w.at) > len(best.at) {
			best, started = w, true
		}
	}
	return best, started
}

func (q Funnel) way(walks []walk) Way {
	w := q.Empty()
	for i := range q.Steps {
		var times []int64
		for _, walk := range walks {
			if len(walk.at) > i {
				w.Steps[i].Leads++
				if i > 0 {
					times = append(times, int64(walk.at[i]-walk.at[i-1]))
				}
			}
		}
		if len(times) > 0 {
			slices.Sort(times)
			w.Steps[i].MedianMillis = &times[len(times)/2]
		}
	}
	w.Fill()
	return w
}
