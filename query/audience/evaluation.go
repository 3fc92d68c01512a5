package audience

import (
	"time"

	"leadevents"
)

// Evaluation is one question to the store: which of these leads does a send
// keep? Its answer is [Evaluate]'s, lead by lead, after the list filter.
type Evaluation struct {
	Leads   Leads
	List    *List    // nil: no list filter, which drops nobody
	Filters []Filter // ANDed, in order; none drop nobody
	// FireAt and ClockSkew bound the windows, see [Filter.Window].
	FireAt    leadevents.Millis
	ClockSkew time.Duration
}

// Leads are the leads that an evaluation starts from: a [Reference] whose
// audience has been looked up. The zero value names nobody and is refused.
type Leads struct {
	Source Source
	// Layers of Stored, in their order: of a phone that lies in several the first
	// one's externalId counts. None is an audience without a lead.
	Layers    []leadevents.Layer
	Phones    []leadevents.Phone // of Listed; none is no lead
	List      uint64             // of Listed, where a stored list holds its phones instead
	EventType string             // of EverHad
}

// List is a list filter: leads that a webhook named. A lead is listed if the list
// names its phone or its externalId (case-sensitive). An empty list names
// nobody, so that include drops everybody.
type List struct {
	ID   uint64 // of the stored list
	Mode Mode
}

// Passes tells whether the filter keeps a lead.
func (l List) Passes(listed bool) bool { return listed == (l.Mode == Include) }

// Totals count an evaluation's leads, each once: kept, or under the first filter
// that drops it, the list filter before the event filters. They sum to Total.
type Totals struct {
	Total            uint64
	Kept             uint64
	DroppedByList    uint64
	DroppedByFilters []uint64 // one each
}

// Decision is what a materialization decided about one lead of its audience, and
// why.
type Decision struct {
	Verdict           // of the event filters, evidence of each
	ExternalID string // "" without one
	Listed     bool   // false without a list filter
	// DroppedByList: the list filter dropped it, before the event filters; then
	// Kept is false, and DroppedBy still says what they would have done.
	DroppedByList bool
}
