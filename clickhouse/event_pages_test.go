package clickhouse

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/query/audience"
)

// Pages and exports are what a reference in Go says, whatever is asked: rows that stand
// twice are one event, with the metadata of the last.
func TestEventsEqualTheReferenceOverRandomEvents(t *testing.T) {
	for types, rounds := range map[int]int{4: 30, 40: 8} { // 40 are more than are read side by side
		t.Run(fmt.Sprint(types, " types"), func(t *testing.T) {
			w := newEventsWorld(t, types)
			w.fill(1_000)
			questions := []audience.EventQuery{{To: audience.EveryMoment}, {To: 0}, {From: leadevents.MaxOccurredAt, To: audience.EveryMoment}, {EventTypes: w.types, To: audience.EveryMoment}}
			for range rounds {
				questions = append(questions, w.question())
			}
			found := 0
			for _, q := range questions {
				want := shownEvents(w.want(q))
				found += len(want)
				if diff := gocmp.Diff(want, shownEvents(w.export(q))); diff != "" {
					t.Fatalf("%s: the export differs (-want +got):\n%.3000s", q.AppendJSON(nil), diff)
				}
				limit := pick(w.source, []int{1, 7, 100, 10_000})
				if len(want) > 30 { // a page is several queries
					limit = max(limit, len(want)/10)
				}
				if diff := gocmp.Diff(want, shownEvents(w.pages(q, limit))); diff != "" {
					t.Fatalf("%s by pages of %d (-want +got):\n%.3000s", q.AppendJSON(nil), limit, diff)
				}
			}
			if found < 1_500 {
				t.Errorf("only %d events were found: the generator tests nothing", found)
			}
			// It is so after merges too.
			for _, table := range []string{"lead_events", "lead_states"} {
				if err := w.db.conn.Exec(t.Context(), "SYSTEM START MERGES "+table); err != nil {
					t.Fatal(err)
				}
				if err := w.db.conn.Exec(t.Context(), "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
					t.Fatal(err)
				}
			}
			if diff := gocmp.Diff(shownEvents(w.want(questions[0])), shownEvents(w.pages(questions[0], 1000))); diff != "" {
				t.Errorf("after a merge:\n%.3000s", diff)
			}
		})
	}
}

// While events come in, behind the cursor and before it, everything that was there at
// the beginning is shown once, and nothing twice.
func TestPagesNeitherSkipNorRepeatWhileEventsComeIn(t *testing.T) {
	w := newEventsWorld(t, 4)
	w.fill(500)
	q := audience.EventQuery{To: audience.EveryMoment}
	there := map[leadevents.EventPosition]bool{}
	for _, e := range w.want(q) {
		there[e.Position()] = true
	}
	var more [][]leadevents.StoredEvent
	for range 200 {
		var call []leadevents.StoredEvent
		for range 1 + w.IntN(20) {
			call = append(call, w.event())
		}
		more = append(more, call)
	}
	ctx, stop := context.WithCancel(t.Context())
	var inserting sync.WaitGroup
	inserting.Go(func() {
		for i, call := range more {
			if ctx.Err() != nil {
				return
			}
			rows := &leadevents.Rows{IngestedAt: w.now}
			for _, e := range call {
				rows.Append(eventsOrg, e.EventType, leadevents.Event{Phone: e.Phone, OccurredAt: e.OccurredAt, Metadata: e.Metadata}, 9)
			}
			if err := w.db.InsertEvents(t.Context(), rows, fmt.Sprint("more", i), ""); err != nil {
				t.Error(err)
				return
			}
		}
	})
	shown := map[leadevents.EventPosition]bool{}
	for _, e := range w.pages(q, 23) {
		if shown[e.Position()] {
			t.Errorf("%+v was shown twice", e.Position())
		}
		shown[e.Position()] = true
	}
	stop()
	inserting.Wait()
	for p := range there {
		if !shown[p] {
			t.Errorf("%+v was there and not shown", p)
		}
	}
}

// A page that would take too long is given as it is, and the next goes on from there.
func TestStretchesGrowUntilTheyAreSlow(t *testing.T) {
	const minute = leadevents.Millis(60_000)
	for _, c := range []struct {
		found, missing int
		took           time.Duration
		want           leadevents.Millis
	}{
		{0, 100, 0, 16 * minute},
		{50, 50, 0, 2 * minute},
		{1, 99, 0, 16 * minute},
		{10, 20, 0, 4 * minute},
		{0, 100, slowStretch + 1, minute},
	} {
		if got := further(minute, c.found, c.missing, c.took); got != c.want {
			t.Errorf("after %d found, %d missing, %s: %s, want %s", c.found, c.missing, c.took, time.Duration(got)*time.Millisecond, time.Duration(c.want)*time.Millisecond)
		}
	}
}
