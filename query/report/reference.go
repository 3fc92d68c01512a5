package report

import (
	"cmp"
	"slices"
	"strconv"

	"leadevents"
	"leadevents/query/audience"
)

// Event is what a report sees of an event.
type Event struct {
	Phone leadevents.Phone
	audience.Event
}

// Deduplicated are the events of rows, in order of their moments: of rows with one key the
// last one.
func Deduplicated(rows []Event) []Event {
	type key struct {
		phone leadevents.Phone
		kind  string
		at    leadevents.Millis
	}
	last := map[key]Event{}
	for _, r := range rows {
		last[key{r.Phone, r.EventType, r.OccurredAt}] = r
	}
	events := make([]Event, 0, len(last))
	for _, e := range last {
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.OccurredAt, b.OccurredAt), cmp.Compare(a.Phone, b.Phone), cmp.Compare(a.EventType, b.EventType))
	})
	return events
}

// grouped is a group with its events.
type grouped struct {
	Group
	events []Event
}

func (g grouped) size(m Measure) int {
	if m == Events {
		return len(g.events)
	}
	return leadsOf(g.events)
}

func leadsOf(events []Event) int {
	leads := map[leadevents.Phone]bool{}
	for _, e := range events {
		leads[e.Phone] = true
	}
	return len(leads)
}

// groups divides events: the largest groups by the measure, then the others as one, if
// there are any.
func (s *Split) groups(events []Event, by Measure) []grouped {
	found := map[string]*grouped{}
	for _, e := range events {
		g := GroupOf(audience.ValueAt(e.Metadata, s.Path))
		if found[g.Key()] == nil {
			found[g.Key()] = &grouped{Group: g}
		}
		found[g.Key()].events = append(found[g.Key()].events, e)
	}
	all := make([]grouped, 0, len(found))
	for _, g := range found {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b grouped) int { return cmp.Or(b.size(by)-a.size(by), a.Compare(b.Group)) })
	if len(all) <= s.Limit {
		return all
	}
	others := grouped{Group: Group{Kind: OfOther}}
	for _, g := range all[s.Limit:] {
		others.events = append(others.events, g.events...)
	}
	return append(all[:s.Limit], others)
}

func place(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }
