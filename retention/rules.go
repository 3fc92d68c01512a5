package retention

import (
	"cmp"
	"slices"
	"time"
	"unicode/utf8"

	"leadevents"
)

// Bounds of the settings.
const (
	MaxDays       = 36_500
	MaxTypes      = 1000
	maxTypeLength = 128 // as ingest has it
)

// ReasonExpired is why an event is rejected that is older than it is kept.
const ReasonExpired = "expired occurredAt"

// Forever is the number of days of what is kept for ever.
const Forever = 0

// Rules are for how many days an organization keeps its events. Nil keeps all for ever.
type Rules struct {
	Days  int            // of types without a rule of their own; Forever is none
	Types map[string]int // Forever: kept, whatever Days says
}

// Of is for how many days events of a type are kept, Forever without a limit.
func (r *Rules) Of(eventType string) int {
	if r == nil {
		return Forever
	}
	if days, own := r.Types[eventType]; own {
		return days
	}
	return r.Days
}

// Border is the moment before which events of a type have expired; nothing occurs before
// it where they never do.
func (r *Rules) Border(eventType string, now leadevents.Millis) leadevents.Millis {
	return BorderOf(r.Of(eventType), now)
}

// BorderOf is the border of so many days.
func BorderOf(days int, now leadevents.Millis) leadevents.Millis {
	if days == Forever {
		return leadevents.MinOccurredAt
	}
	return max(now.Add(-time.Duration(days)*24*time.Hour), leadevents.MinOccurredAt)
}

// Empty tells whether nothing ever expires.
func (r *Rules) Empty() bool { return r == nil || r.Days == Forever && len(r.Types) == 0 }

// Names are the types with a rule of their own, in their order.
func (r *Rules) Names() []string {
	names := make([]string, 0, len(r.Types))
	for name := range r.Types {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (r *Rules) check() error {
	if err := checkDays("days", r.Days); err != nil {
		return err
	}
	if len(r.Types) > MaxTypes {
		return leadevents.Errorf(leadevents.InvalidRequest, "eventTypes has %d elements, at most %d are allowed", len(r.Types), MaxTypes)
	}
	for name, days := range r.Types {
		if n := utf8.RuneCountInString(name); n < 1 || n > maxTypeLength || !utf8.ValidString(name) {
			return leadevents.Errorf(leadevents.InvalidRequest, "an eventType must have 1 to %d characters", maxTypeLength)
		}
		if err := checkDays("days of an eventType", days); err != nil {
			return err
		}
	}
	return nil
}

func checkDays(field string, days int) error {
	if days < 0 || days > MaxDays {
		return leadevents.Errorf(leadevents.InvalidRequest, "%s must be 1 to %d, or null for ever", field, MaxDays)
	}
	return nil
}

// Record is one rule as it is stored.
type Record struct {
	Org       leadevents.OrgID
	EveryType bool   // of all types without a rule of their own
	EventType string // otherwise
	Days      int    // withdrawn: there is no such rule any more
	Version   uint64
}

// withdrawn is the days of a rule that was taken back.
const withdrawn = -1

// RulesOf reads records of one organization.
func RulesOf(records []Record) *Rules {
	r := &Rules{Types: map[string]int{}}
	for _, record := range records {
		switch {
		case record.Days == withdrawn:
		case record.EveryType:
			r.Days = record.Days
		default:
			r.Types[record.EventType] = record.Days
		}
	}
	return r
}

// changes are the records that make rules of what is stored, each with a version above
// the one before; now is a version of its own.
func (r *Rules) changes(org leadevents.OrgID, stored []Record, now uint64) (changed []Record) {
	type of struct {
		every bool
		name  string
	}
	have := map[of]Record{}
	for _, record := range stored {
		have[of{record.EveryType, record.EventType}] = record
	}
	want := map[of]int{{every: true}: r.Days}
	if r.Days == Forever {
		want[of{every: true}] = withdrawn
	}
	for name, days := range r.Types {
		want[of{name: name}] = days
	}
	for key := range have {
		if _, named := want[key]; !named {
			want[key] = withdrawn
		}
	}
	for key, days := range want {
		record, there := have[key]
		if there && record.Days == days || !there && days == withdrawn {
			continue
		}
		changed = append(changed, Record{Org: org, EveryType: key.every, EventType: key.name, Days: days, Version: max(now, record.Version+1)})
	}
	slices.SortFunc(changed, func(a, b Record) int { return cmp.Compare(a.EventType, b.EventType) })
	return changed
}
