package clickhouse

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/query/audience"
)

// catalog is what the reference says.
func (w *eventsWorld) catalog() []leadevents.TypeSummary {
	all := map[string]leadevents.TypeSummary{}
	leads := map[string]map[leadevents.Phone]bool{}
	for _, e := range w.want(audience.EventQuery{To: audience.EveryMoment}) {
		t, known := all[e.EventType]
		if !known {
			t = leadevents.TypeSummary{EventType: e.EventType, FirstAt: e.OccurredAt, LastAt: e.OccurredAt}
			leads[e.EventType] = map[leadevents.Phone]bool{}
		}
		leads[e.EventType][e.Phone] = true
		t.Events++
		t.Leads = uint64(len(leads[e.EventType]))
		t.FirstAt, t.LastAt = min(t.FirstAt, e.OccurredAt), max(t.LastAt, e.OccurredAt)
		all[e.EventType] = t
	}
	return slices.SortedFunc(maps.Values(all), func(a, b leadevents.TypeSummary) int { return cmp.Compare(a.EventType, b.EventType) })
}

// The catalog is exact whatever is remembered of it: after inserts of new events and of
// ones that are there, after merges, and while both go on.
func TestTheCatalogIsExactAfterEveryChange(t *testing.T) {
	w := newEventsWorld(t, 6)
	look := func(what string) {
		t.Helper()
		for range 2 { // the second from memory
			got, err := w.db.EventTypes(t.Context(), eventsOrg)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(w.catalog(), got, gocmp.Transformer("none", func(l []leadevents.TypeSummary) []leadevents.TypeSummary {
				return append([]leadevents.TypeSummary{}, l...)
			})); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", what, diff)
			}
		}
	}
	look("without an event")
	w.fill(500)
	look("filled")
	for range 10 {
		w.insert(w.event(), w.event())
		look("two more")
		w.insert(pick(w.source, w.want(audience.EventQuery{To: audience.EveryMoment})))
		look("one again")
	}
	for _, table := range []string{"lead_events", "lead_states"} {
		for _, sql := range []string{"SYSTEM START MERGES " + table, "OPTIMIZE TABLE " + table} {
			if err := w.db.conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
			look(sql)
		}
	}
	w.insert(w.event())
	look("one more after merges")
	if err := w.db.conn.Exec(t.Context(), "ALTER TABLE lead_events DELETE WHERE event_type = 'b' SETTINGS mutations_sync = 1"); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(w.stored, func(p leadevents.EventPosition, _ leadevents.StoredEvent) bool { return p.EventType == "b" })
	look("without a type")
}

// What was counted is not counted again for new events, or for merges of what was there: only
// what they bring is.
func TestMergesAreNotCountedAgain(t *testing.T) {
	w := newEventsWorld(t, 3)
	w.fill(300)
	if _, err := w.db.EventTypes(t.Context(), eventsOrg); err != nil {
		t.Fatal(err)
	}
	// Whoever counts again does not find these.
	const marked = 1_000_000
	c := w.db.catalogs.of(eventsOrg)
	for at, l := range c.ladders {
		for name, sum := range l.rungs[0].types {
			sum.Events, sum.Leads = sum.Events+marked, sum.Leads+marked
			c.ladders[at].rungs[0].types[name] = sum
		}
	}
	remembered := func() (events, leads int) {
		for at, l := range c.ladders {
			if len(l.rungs) == 0 || len(l.rungs[0].types) == 0 {
				continue
			}
			if at.table == eventsTable {
				events++
			} else {
				leads++
			}
		}
		return events, leads
	}
	events, leads := remembered()
	if events == 0 || leads != 1 {
		t.Fatalf("%d partitions of events are remembered, %d of states", events, leads)
	}
	look := func(what string) {
		t.Helper()
		types, err := w.db.EventTypes(t.Context(), eventsOrg)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]leadevents.TypeSummary{}
		for _, s := range types {
			got[s.EventType] = s
		}
		for _, want := range w.catalog() {
			one := got[want.EventType]
			if one.Leads-want.Leads != marked {
				t.Errorf("%s: leads of %q were counted again: %d, really %d", what, want.EventType, one.Leads, want.Leads)
			}
			if more := one.Events - want.Events; more == 0 || more%marked != 0 {
				t.Errorf("%s: events of %q: %d, really %d", what, want.EventType, one.Events, want.Events)
			}
		}
		if e, l := remembered(); e < events || l != leads {
			t.Errorf("%s: %d partitions of events are remembered, of %d; %d of states", what, e, events, l)
		}
	}
	look("as it was")
	for _, table := range []string{eventsTable, statesTable} {
		for _, sql := range []string{"SYSTEM START MERGES " + table, "OPTIMIZE TABLE " + table + " FINAL"} {
			if err := w.db.conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	look("merged")
	w.insert(w.event(), pick(w.source, w.want(audience.EventQuery{To: audience.EveryMoment})))
	look("after an insert")
}

// An answer has all that was acknowledged before it was asked for.
func TestTheCatalogIsNeverBehind(t *testing.T) {
	w := newEventsWorld(t, 4)
	if err := w.db.conn.Exec(t.Context(), "SYSTEM START MERGES lead_events"); err != nil {
		t.Fatal(err)
	}
	w.fill(50)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for range 15 {
				mu.Lock()
				least := uint64(len(w.stored))
				mu.Unlock()
				types, err := w.db.EventTypes(t.Context(), eventsOrg)
				if err != nil {
					t.Error(err)
					return
				}
				events := uint64(0)
				for _, s := range types {
					events += s.Events
				}
				mu.Lock()
				most := uint64(len(w.stored))
				mu.Unlock()
				if events < least || events > most {
					t.Errorf("%d events, of %d to %d", events, least, most)
				}
			}
		})
	}
	for range 40 {
		mu.Lock() // what is there while it is inserted may be seen or not
		w.insert(w.event())
		mu.Unlock()
	}
	all.Wait()
}

// A table that was restored may give the names of parts again, to other rows.
func TestTheCatalogKnowsPartsByWhatTheyHold(t *testing.T) {
	w := newEventsWorld(t, 4)
	exec := func(sql string) {
		t.Helper()
		if err := w.db.conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	var create string
	if err := w.db.conn.QueryRow(t.Context(), "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'lead_events'").Scan(&create); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, eventType := range []string{"a", "b"} {
		exec("DROP TABLE lead_events SYNC")
		exec(create)
		exec("SYSTEM STOP MERGES lead_events")
		w.insert(leadevents.StoredEvent{EventType: eventType, Phone: leadevents.Phone(i + 1), OccurredAt: 1_750_000_000_000, Metadata: []byte("{}")})
		var name string
		if err := w.db.conn.QueryRow(t.Context(), "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = 'lead_events' AND active").Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		types, err := w.db.EventTypes(t.Context(), eventsOrg)
		if err != nil || len(types) != 1 || types[0].EventType != eventType || types[0].Events != 1 {
			t.Errorf("%+v (%v), want one event of %s", types, err, eventType)
		}
	}
	if names[0] != names[1] {
		t.Errorf("the parts are called %v: the test tests nothing", names)
	}
}

// More organizations and types than are remembered are answered all the same.
func TestCatalogsRememberSoMuch(t *testing.T) {
	var c catalogs
	for org := range leadevents.OrgID(2*rememberedCatalogs + 5) {
		c.of(org + 1)
	}
	if n := len(c.known); n > rememberedCatalogs {
		t.Errorf("%d are remembered", n)
	}
	if one, again := c.of(3), c.of(3); one != again {
		t.Error("one that is remembered is made anew")
	}
	many := map[string]leadevents.TypeSummary{}
	for i := range rememberedTypes + 1 {
		many[string(rune(i+0x4e00))] = leadevents.TypeSummary{}
	}
	one := catalog{}
	few := ladder{rungs: []rung{{types: map[string]leadevents.TypeSummary{"a": {Leads: 2}}}}}
	one.remember(map[partition]ladder{{eventsTable, "2026"}: {rungs: []rung{{types: many}}}, {statesTable, "all"}: few})
	if got := one.ladders; len(got) != 1 || got[partition{statesTable, "all"}].known() != 1 {
		t.Errorf("%d ladders are remembered", len(got))
	}
	// What takes too much with several rungs is kept as one.
	half := map[string]leadevents.TypeSummary{}
	for name := range many {
		if half[name] = (leadevents.TypeSummary{Events: 1}); len(half) == rememberedTypes/2 {
			break
		}
	}
	one.remember(map[partition]ladder{{eventsTable, "2026"}: {rungs: []rung{{types: half}, {types: half}, {types: half}}}})
	l := one.ladders[partition{eventsTable, "2026"}]
	if len(l.rungs) != 1 || len(l.sum()) != len(half) {
		t.Fatalf("%d rungs, %d types", len(l.rungs), len(l.sum()))
	}
	for name, sum := range l.sum() {
		if sum.Events != 3 {
			t.Errorf("%s: %d events", name, sum.Events)
		}
	}
}
