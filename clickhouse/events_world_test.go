package clickhouse

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"leadevents"
	"leadevents/internal/storetest"
	"leadevents/query/audience"
)

const (
	eventsOrg     leadevents.OrgID = 7
	neighboursOrg leadevents.OrgID = 8 // has the same keys with other metadata
)

// eventsWorld is a database with random events, some of which stand there in several
// rows, and what a reader is to see of them.
type eventsWorld struct {
	source
	t        *testing.T
	db       *DB
	types    []string
	phones   []leadevents.Phone
	now      leadevents.Millis
	inserted leadevents.BatchID
	stored   map[leadevents.EventPosition]leadevents.StoredEvent // by its key the row that stays
}

func newEventsWorld(t *testing.T, types int) *eventsWorld {
	t.Helper()
	w := &eventsWorld{
		source: whereSeed(t), t: t, db: credentialsIn(t, storetest.ClickHouse(t)),
		now: leadevents.MillisOf(time.Now()), stored: map[leadevents.EventPosition]leadevents.StoredEvent{},
	}
	for _, table := range []string{"lead_events", "lead_states"} { // rows that stand twice stay so
		if err := w.db.conn.Exec(t.Context(), "SYSTEM STOP MERGES "+table); err != nil {
			t.Fatal(err)
		}
	}
	w.types = []string{"a", "b", "é'\\\t,\"\n", "Z"}
	for i := len(w.types); i < types; i++ {
		w.types = append(w.types, fmt.Sprintf("type-%03d", i))
	}
	for range 40 {
		w.phones = append(w.phones, leadevents.Phone(1+w.Uint64N(pick(w.source, []uint64{300, 1e11, 9e18}))))
	}
	return w
}

// moment is a time at which something may turn, many of them the same.
func (w *eventsWorld) moment() leadevents.Millis {
	switch w.IntN(8) {
	case 0:
		return pick(w.source, []leadevents.Millis{leadevents.MinOccurredAt, leadevents.MaxOccurredAt})
	case 1: // turns of years, where partitions meet
		return leadevents.MillisOf(time.Date(2020+w.IntN(7), 1, 1, 0, 0, 0, 0, time.UTC)) - leadevents.Millis(w.IntN(2))
	case 2:
		return w.now.Add(time.Duration(w.IntN(400*24)) * time.Hour)
	case 3, 4: // the last minutes, many in one millisecond
		return w.now - leadevents.Millis(w.IntN(20))
	default:
		return w.now.Add(-time.Duration(w.Int64N(int64(6 * 365 * 24 * time.Hour))))
	}
}

func (w *eventsWorld) event() leadevents.StoredEvent {
	return leadevents.StoredEvent{EventType: pick(w.source, w.types), Phone: pick(w.source, w.phones), OccurredAt: w.moment(), Metadata: []byte(w.metadata())}
}

// insert stores events as one call does, one row a key; the last insert of a key is the
// one that stays.
func (w *eventsWorld) insert(events ...leadevents.StoredEvent) {
	w.t.Helper()
	w.inserted++
	rows := &leadevents.Rows{IngestedAt: w.now + leadevents.Millis(w.inserted)}
	seen := map[leadevents.EventPosition]bool{}
	for _, e := range events {
		if seen[e.Position()] {
			continue
		}
		seen[e.Position()] = true
		e.Batch, e.IngestedAt = w.inserted, rows.IngestedAt
		w.stored[e.Position()] = e
		rows.Append(eventsOrg, e.EventType, leadevents.Event{Phone: e.Phone, OccurredAt: e.OccurredAt, Metadata: e.Metadata}, e.Batch)
		rows.Append(neighboursOrg, e.EventType, leadevents.Event{Phone: e.Phone, OccurredAt: e.OccurredAt, Metadata: []byte(`{"a":"the neighbours'"}`)}, e.Batch)
	}
	if err := w.db.InsertEvents(w.t.Context(), rows, fmt.Sprint("w", w.inserted), ""); err != nil {
		w.t.Fatal(err)
	}
}

// fill stores n events in several inserts; a third of the rows come again, most of them
// with other metadata.
func (w *eventsWorld) fill(n int) {
	w.t.Helper()
	var all []leadevents.StoredEvent
	for range n {
		all = append(all, w.event())
		if w.IntN(3) == 0 {
			again := pick(w.source, all)
			if w.IntN(4) > 0 {
				again.Metadata = []byte(w.metadata())
			}
			all = append(all, again)
		}
	}
	const inserts = 7
	for i := range inserts {
		w.insert(all[len(all)*i/inserts : len(all)*(i+1)/inserts]...)
	}
}

// want is what a question is to be answered, newest first.
func (w *eventsWorld) want(q audience.EventQuery) []leadevents.StoredEvent {
	var found []leadevents.StoredEvent
	for _, e := range w.stored {
		if q.Holds(&e) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b leadevents.StoredEvent) int { return b.Position().Compare(a.Position()) })
	return found
}

// question draws one.
func (w *eventsWorld) question() audience.EventQuery {
	q := audience.EventQuery{To: audience.EveryMoment}
	for range w.IntN(3) {
		q.EventTypes = append(q.EventTypes, pick(w.source, append(w.types, "none")))
	}
	if w.IntN(3) == 0 {
		q.Phone = pick(w.source, append(w.phones, 999))
	}
	if w.IntN(2) == 0 {
		q.From = w.moment()
	}
	if w.IntN(2) == 0 {
		q.To = w.moment()
	}
	for range w.IntN(3) {
		q.Where = append(q.Where, w.condition())
	}
	return q
}

// page reads pages of a limit to the end, and what each had.
func (w *eventsWorld) pages(q audience.EventQuery, limit int) (all []leadevents.StoredEvent) {
	w.t.Helper()
	var after *leadevents.EventPosition
	for {
		page, next, err := w.db.Events(w.t.Context(), eventsOrg, q, after, limit)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(page) > limit {
			w.t.Fatalf("a page of %d has %d events", limit, len(page))
		}
		all = append(all, page...)
		if next == nil {
			return all
		}
		if after != nil && next.Compare(*after) >= 0 {
			w.t.Fatalf("from %+v on to %+v", after, next)
		}
		after = next
	}
}

// export reads all of them, and fails where a piece changes what came before.
func (w *eventsWorld) export(q audience.EventQuery) (all []leadevents.StoredEvent) {
	w.t.Helper()
	err := w.db.EachEvent(w.t.Context(), eventsOrg, q, func(piece []leadevents.StoredEvent) error {
		for _, e := range piece {
			e.Metadata = slices.Clone(e.Metadata)
			all = append(all, e)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// shownEvents is events as text, for comparisons that tell something.
func shownEvents(events []leadevents.StoredEvent) []string {
	lines := make([]string, len(events))
	for i, e := range events {
		lines[i] = strings.Join([]string{e.OccurredAt.String(), e.EventType, e.Phone.String(), string(e.Metadata), e.IngestedAt.String(), e.Batch.String()}, " ")
	}
	return lines
}
