package query

import (
	"slices"

	"leadevents"
)

// ListedLeads are the leads that a list filter names.
type ListedLeads struct {
	Phones      []leadevents.Phone
	ExternalIDs []string
}

// normalize sorts them and leaves each once.
func (l *ListedLeads) normalize() {
	slices.Sort(l.Phones)
	slices.Sort(l.ExternalIDs)
	l.Phones, l.ExternalIDs = slices.Compact(l.Phones), slices.Compact(l.ExternalIDs)
}
