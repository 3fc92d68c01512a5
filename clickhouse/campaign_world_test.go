package clickhouse

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"leadevents"
	"leadevents/internal/storetest"
	"leadevents/query/audience"
)

const (
	campaignOrg  leadevents.OrgID = 7
	strangeOrg   leadevents.OrgID = 8 // has the same phones, layers and lists
	campaignSkew                  = 5 * time.Minute
)

var campaignFireAt = leadevents.MillisOf(time.Date(2026, 5, 12, 18, 34, 0, 0, time.UTC))

// campaignWorld is a database with random events, audiences and lists, and what
// is known of them in Go.
type campaignWorld struct {
	source
	t       *testing.T
	db      *DB
	phones  []leadevents.Phone
	events  map[leadevents.Phone][]audience.Event
	layers  map[uint64]map[leadevents.Phone]string
	lists   map[uint64]*namedLeads
	windows []int
	types   []string
	run     uint64
}

// namedLeads are what a list names.
type namedLeads struct {
	phones map[leadevents.Phone]bool
	ids    map[string]bool
}

func newCampaignWorld(t *testing.T) *campaignWorld {
	w := &campaignWorld{
		source: whereSeed(t), t: t, db: credentialsIn(t, storetest.ClickHouse(t)),
		events: map[leadevents.Phone][]audience.Event{}, layers: map[uint64]map[leadevents.Phone]string{}, lists: map[uint64]*namedLeads{},
		windows: []int{1, 120, 43_200, audience.MaxMinutes}, types: []string{"a", "b", "é'\\"},
	}
	// Rows that stand twice stay so, and states are in pieces.
	w.exec("SYSTEM STOP MERGES lead_events")
	w.exec("SYSTEM STOP MERGES lead_states")
	for range 300 {
		w.phones = append(w.phones, leadevents.Phone(1+w.Uint64N(pick(w.source, []uint64{300, 1e11, 9e18}))))
	}
	slices.Sort(w.phones)
	w.phones = slices.Compact(w.phones)
	w.storeEvents()
	w.storeAudiences()
	w.storeLists()
	return w
}

func (w *campaignWorld) exec(sql string) {
	w.t.Helper()
	if err := w.db.conn.Exec(w.t.Context(), sql); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// moment is a time at which something may turn: an edge of a window to the
// millisecond, the bounds of time, the future.
func (w *campaignWorld) moment() leadevents.Millis {
	var at leadevents.Millis
	switch w.IntN(5) {
	case 0:
		at = campaignFireAt.Add(-time.Duration(pick(w.source, w.windows)) * time.Minute)
	case 1:
		at = campaignFireAt.Add(campaignSkew)
	case 2:
		at = campaignFireAt
	case 3:
		at = campaignFireAt.Add(time.Duration(1+w.IntN(400)) * 24 * time.Hour)
	default:
		at = pick(w.source, []leadevents.Millis{leadevents.MinOccurredAt, leadevents.MaxOccurredAt, campaignFireAt - 1e10})
	}
	return min(max(at+leadevents.Millis(w.IntN(3)-1), leadevents.MinOccurredAt), leadevents.MaxOccurredAt)
}

// storeEvents stores events of most leads in several inserts, a third of the rows
// twice: of two with one key the later one counts.
func (w *campaignWorld) storeEvents() {
	type place struct {
		phone leadevents.Phone
		event audience.Event
	}
	var all []place
	for _, phone := range w.phones {
		for range w.IntN(8) {
			all = append(all, place{phone, audience.Event{EventType: pick(w.source, w.types), OccurredAt: w.moment(), Metadata: []byte(w.metadata())}})
		}
	}
	for i := range all {
		if w.IntN(3) == 0 {
			again := all[i]
			if w.IntN(2) == 0 {
				again.event.Metadata = []byte(w.metadata())
			}
			all = append(all, again)
		}
	}
	const inserts = 6
	for i := range inserts {
		rows := &leadevents.Rows{IngestedAt: campaignFireAt}
		for _, p := range all[len(all)*i/inserts : len(all)*(i+1)/inserts] {
			for _, org := range []leadevents.OrgID{campaignOrg, strangeOrg} {
				event := leadevents.Event{Phone: p.phone, OccurredAt: p.event.OccurredAt, Metadata: p.event.Metadata}
				eventType := p.event.EventType
				if org == strangeOrg { // other leads have other types there
					event.Phone, eventType = pick(w.source, w.phones), pick(w.source, w.types)
				}
				rows.Append(org, eventType, event, leadevents.BatchID(i+1))
			}
			events := w.events[p.phone]
			same := func(e audience.Event) bool {
				return e.EventType == p.event.EventType && e.OccurredAt == p.event.OccurredAt
			}
			w.events[p.phone] = append(slices.DeleteFunc(events, same), p.event)
		}
		if err := w.db.InsertEvents(w.t.Context(), rows, "events "+strconv.Itoa(i), ""); err != nil {
			w.t.Fatal(err)
		}
	}
}

// storeAudiences makes layers that share phones, with externalIds that repeat.
func (w *campaignWorld) storeAudiences() {
	var orgs, layers, phones []uint64
	var ids []string
	for layer := uint64(1); layer <= 4; layer++ {
		leads := map[leadevents.Phone]string{}
		for _, p := range w.phones {
			if w.IntN(5) < 3 {
				leads[p] = w.externalID()
				orgs, layers, phones, ids = append(orgs, uint64(campaignOrg)), append(layers, layer), append(phones, uint64(p)), append(ids, leads[p])
			} else {
				orgs, layers, phones, ids = append(orgs, uint64(strangeOrg)), append(layers, layer), append(phones, uint64(p)), append(ids, "x")
			}
		}
		w.layers[layer] = leads
	}
	if err := w.db.insertColumns(w.t.Context(), "INSERT INTO audience_leads (organization_id, layer, phone, external_id)", orgs, layers, phones, ids); err != nil {
		w.t.Fatal(err)
	}
}

// externalID draws one of 120, or none; some differ only in case.
func (w *campaignWorld) externalID() string {
	if w.IntN(4) == 0 {
		return ""
	}
	return pick(w.source, []string{"crm-", "CRM-", "é'\\ "}) + strconv.Itoa(w.IntN(40))
}

// storeLists makes an empty list and some that name leads both ways.
func (w *campaignWorld) storeLists() {
	for list := uint64(1); list <= 4; list++ {
		named := &namedLeads{map[leadevents.Phone]bool{}, map[string]bool{}}
		var strangers []leadevents.Phone
		for _, p := range w.phones {
			switch w.IntN(6) {
			case 0, 1:
				if list > 1 {
					named.phones[p] = true
				}
			case 2:
				if id := w.externalID(); list > 2 && id != "" {
					named.ids[id] = true
				}
			default:
				strangers = append(strangers, p)
			}
		}
		w.lists[list] = named
		err := w.db.StoreList(w.t.Context(), campaignOrg, list, slices.Collect(maps.Keys(named.phones)), slices.Collect(maps.Keys(named.ids)))
		if err := errors.Join(err, w.db.StoreList(w.t.Context(), strangeOrg, list, strangers, nil)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// filter draws a filter.
func (w *campaignWorld) filter() audience.Filter {
	f := audience.Filter{
		Mode:      pick(w.source, []audience.Mode{audience.Include, audience.Exclude, audience.Exclude}),
		EventType: pick(w.source, append(w.types, w.types...)), MinCount: pick(w.source, []int{1, 1, 1, 2, 3}),
	}
	if w.IntN(20) == 0 {
		f.EventType = "none"
	}
	if w.IntN(3) > 0 {
		minutes := pick(w.source, w.windows)
		f.Within = &minutes
	}
	if w.IntN(3) == 0 {
		f.Where = []audience.Condition{w.condition()}
	}
	return f
}

// evaluation draws an evaluation.
func (w *campaignWorld) evaluation() audience.Evaluation {
	e := audience.Evaluation{
		ClockSkew: campaignSkew,
		FireAt:    pick(w.source, []leadevents.Millis{campaignFireAt, campaignFireAt, campaignFireAt, campaignFireAt - 1e10, leadevents.MinOccurredAt, leadevents.MaxOccurredAt, -1e15, 1e15}),
	}
	for range pick(w.source, []int{0, 1, 1, 2, 2, 3, audience.MaxFilters}) {
		e.Filters = append(e.Filters, w.filter())
	}
	if w.IntN(2) == 0 {
		e.List = &audience.List{ID: 1 + w.Uint64N(4), Mode: pick(w.source, []audience.Mode{audience.Include, audience.Exclude})}
	}
	switch w.IntN(6) {
	case 0:
		e.Leads.Source = audience.Listed
		for range w.IntN(50) {
			e.Leads.Phones = append(e.Leads.Phones, pick(w.source, w.phones))
		}
	case 1:
		e.Leads = audience.Leads{Source: audience.EverHad, EventType: pick(w.source, append(w.types, "none"))}
	case 2:
		e.Leads.Source = audience.EveryLead
	default:
		e.Leads.Source = audience.Stored
		for _, layer := range w.Perm(4)[:w.IntN(5)] {
			e.Leads.Layers = append(e.Leads.Layers, uint64(layer)+1)
		}
	}
	return e
}
