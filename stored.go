package leadevents

import "strings"

// StoredEvent is an event as it is stored: of the rows that one key may have for a
// while, the one that merges keep.
type StoredEvent struct {
	EventType  string
	Phone      Phone
	OccurredAt Millis
	Metadata   []byte // a JSON object
	IngestedAt Millis
	Batch      BatchID
}

// Position is where the event stands among its organization's.
func (e *StoredEvent) Position() EventPosition {
	return EventPosition{OccurredAt: e.OccurredAt, EventType: e.EventType, Phone: e.Phone}
}

// EventPosition is a place in the order in which events are shown. No two events of an
// organization have the same.
type EventPosition struct {
	OccurredAt Millis
	EventType  string
	Phone      Phone
}

// Compare orders positions as they occurred; of one moment by type (by its bytes),
// then by phone. Lists that are newest first show them from the highest down.
func (p EventPosition) Compare(q EventPosition) int {
	switch {
	case p.OccurredAt != q.OccurredAt:
		if p.OccurredAt < q.OccurredAt {
			return -1
		}
		return 1
	case p.EventType != q.EventType:
		return strings.Compare(p.EventType, q.EventType)
	case p.Phone < q.Phone:
		return -1
	case p.Phone > q.Phone:
		return 1
	}
	return 0
}

// Before is the position behind which, newest first, the events before a moment follow.
func Before(m Millis) EventPosition { return EventPosition{OccurredAt: m} }

// TypeSummary is what an organization has of one event type.
type TypeSummary struct {
	EventType       string
	Events          uint64 // keys; a row that stands twice is one
	Leads           uint64 // of whom
	FirstAt, LastAt Millis // when the earliest and the latest of them occurred
}
