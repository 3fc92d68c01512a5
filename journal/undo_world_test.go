package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leadevents"
	"leadevents/ingest"
	"leadevents/ingest/ledger"
	"leadevents/internal/storetest"
	"leadevents/journal"
	"leadevents/query/audience"
)

const longAgo leadevents.Millis = 1_400_000_000_000

// undoWorld is a world whose batches come by the write path.
type undoWorld struct {
	*world
	l  *ledger.Ledger
	in *ingest.Ingester
}

func newUndoWorld(t *testing.T, between func(ingest.Ledger) ingest.Ledger) *undoWorld {
	w := newWorld(t)
	return undoWorldOn(w, w.db, between)
}

func undoWorldOn(inner *world, archive ledger.Archive, between func(ingest.Ledger) ingest.Ledger) *undoWorld {
	t, w := inner.t, &undoWorld{world: inner}
	w.l = w.ledgerOn(archive)
	var l ingest.Ledger = w.l
	if between != nil {
		l = between(l)
	}
	w.in = ingest.New(ingest.Config{GroupAge: time.Millisecond, Conflicts: true}, w.db, l)
	t.Cleanup(func() { _ = w.in.Close(context.Background()) })
	eventually(t, "the ledger is trusted", func() bool { _, ok := w.l.Believed(t.Context()); return ok })
	return w
}

// at is an event of a lead.
type at struct {
	lead   int
	moment leadevents.Millis
}

func (a at) phone() leadevents.Phone { return 15550000000 + leadevents.Phone(a.lead) }

// call sends events of a type.
func (w *undoWorld) call(key, run string, events ...at) (ingest.Result, error) {
	c := &ingest.Call{Org: ours, EventType: "bought", Received: len(events), IdempotencyKey: key, RunID: run}
	for i, e := range events {
		c.Events = append(c.Events, leadevents.Event{Phone: e.phone(), OccurredAt: e.moment, Metadata: []byte(`{"a":1}`)})
		c.Index = append(c.Index, uint32(i))
	}
	return w.in.Submit(w.t.Context(), c)
}

// sent is a call that is answered, with so many inserted.
func (w *undoWorld) sent(inserted int, events ...at) leadevents.BatchID {
	w.t.Helper()
	r, err := w.call("", "", events...)
	if err != nil || r.Inserted != inserted || r.Duplicates != len(events)-inserted {
		w.t.Fatalf("%+v, %v; want %d inserted", r, err, inserted)
	}
	return r.Batch
}

// undos is a server process' undos. kill ends its worker.
func (w *undoWorld) undos(grace time.Duration, between func(journal.UndoStore) journal.UndoStore) (u *journal.Undos, kill func()) {
	w.t.Helper()
	var store journal.UndoStore = w.open()
	if between != nil {
		store = between(store)
	}
	u = journal.NewUndos(journal.Config{
		Grace: grace, Poll: 200 * time.Millisecond, Settle: 2 * time.Second,
		Logger: slog.New(slog.NewTextHandler(storetest.Output("the log of undos"), nil)),
	}, store, w.l, alone{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	kill = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("undos: %v", err)
		}
	})
	w.t.Cleanup(kill)
	return u, kill
}

// undone has a batch undone, and waits for that.
func (w *undoWorld) undone(u *journal.Undos, batch leadevents.BatchID) journal.UndoStatus {
	w.t.Helper()
	_, err := u.Undo(w.t.Context(), ours, batch, false)
	w.must("undo", err)
	s, err := u.Wait(w.t.Context(), ours, batch)
	w.must("wait for the undo", err)
	return s
}

// verified waits until a batch's undo is.
func (w *undoWorld) verified(u *journal.Undos, batch leadevents.BatchID) {
	w.t.Helper()
	eventually(w.t, "the undo is verified", func() bool {
		s, err := u.Undo(w.t.Context(), ours, batch, false)
		w.must("undo again", err)
		return s.VerifiedAt != 0
	})
	entries := w.texts(fmt.Sprintf("SELECT toString(entry) FROM journal WHERE batch_id = %d", batch))
	if n := w.number("SELECT count() FROM undo_rows WHERE entry IN (" + strings.Join(entries, ", ") + ")"); n != 0 {
		w.t.Errorf("%d rows are still written down", n)
	}
}

// stored are the events that are stored, in order: rows that stand twice are one.
func (w *undoWorld) stored() []string {
	w.t.Helper()
	return w.texts("SELECT DISTINCT toString(phone - 15550000000) || ' ' || toString(toUnixTimestamp64Milli(occurred_at)) AS e FROM lead_events ORDER BY e")
}

func shownAt(events ...at) (all []string) {
	for _, e := range events {
		all = append(all, fmt.Sprintf("%d %d", e.lead, e.moment))
	}
	slices.Sort(all)
	return all
}

// holds is what filters, states and the table must say: leads have just these events.
func (w *undoWorld) holds(what string, table bool, events ...at) {
	w.t.Helper()
	const asked = 20
	leads, old, several := map[int]int{}, map[int]bool{}, 0
	for _, e := range events {
		if leads[e.lead]++; leads[e.lead] == 2 {
			several++
		}
		if e.moment <= longAgo {
			old[e.lead] = true
		}
	}
	e := audience.Evaluation{Leads: audience.Leads{Source: audience.Listed}, ClockSkew: time.Minute}
	for i := range asked {
		e.Leads.Phones = append(e.Leads.Phones, at{lead: i}.phone())
	}
	for _, f := range []struct {
		filter string
		fireAt leadevents.Millis
		want   int
	}{
		{`"mode":"include"`, w.now, len(leads)},
		{`"mode":"exclude"`, w.now, asked - len(leads)},
		{`"mode":"include","within":{"minutes":60}`, longAgo + 1000, len(old)},
		{`"mode":"include","minCount":2`, w.now, several},
		{`"mode":"include","where":[{"path":"a","op":"eq","value":1}]`, w.now, len(leads)},
	} {
		filters, err := audience.DecodeFilters([]byte(`[{"eventType":"bought",`+f.filter+`}]`), "eventFilters")
		w.must("decode a filter", err)
		e.Filters, e.FireAt = filters, f.fireAt
		if got, err := w.db.Preview(w.t.Context(), ours, e); err != nil || got.Kept != uint64(f.want) {
			w.t.Errorf("%s: preview by %s keeps %d, want %d: %v", what, f.filter, got.Kept, f.want, err)
		}
	}
	e.FireAt, e.Filters = w.now, nil
	for name, source := range map[string]audience.Leads{"who ever had": {Source: audience.EverHad, EventType: "bought"}, "all": {Source: audience.EveryLead}} {
		e.Leads = source
		if got, err := w.db.Preview(w.t.Context(), ours, e); err != nil || got.Total != uint64(len(leads)) {
			w.t.Errorf("%s: of leads %s there are %d, want %d: %v", what, name, got.Total, len(leads), err)
		}
	}
	if !table {
		return
	}
	if got, want := w.stored(), shownAt(events...); !slices.Equal(got, want) {
		w.t.Errorf("%s: stored are\n%s\nwant\n%s", what, strings.Join(got, ", "), strings.Join(want, ", "))
	}
	raw := w.texts("SELECT toString((phone, min(occurred_at), max(occurred_at))) AS s FROM lead_events GROUP BY phone ORDER BY s")
	states := w.texts("SELECT toString((phone, min(first_at), max(last_at))) AS s FROM lead_states GROUP BY phone ORDER BY s")
	if !slices.Equal(raw, states) {
		w.t.Errorf("%s: states are\n%s\nrows say\n%s", what, strings.Join(states, ", "), strings.Join(raw, ", "))
	}
}

// owner is whom the ledger has a key for; 0 for nobody.
func (w *undoWorld) owner(e at) leadevents.BatchID {
	w.t.Helper()
	owners := make([]leadevents.BatchID, 1)
	_, err := w.l.Peek(w.t.Context(), []leadevents.Key{{Org: ours, EventType: "bought", Phone: e.phone(), OccurredAt: e.moment}}, nil, owners)
	w.must("peek", err)
	return owners[0]
}

var errLost = errors.New("the seal's reply is lost")

// losing is a ledger whose seals fail while it is told to.
type losing struct {
	ingest.Ledger
	mu     sync.Mutex
	before func() error // of a seal
}

func (l *losing) set(before func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = before
}

func (l *losing) Seal(ctx context.Context, v ledger.View, keys []leadevents.Key, tokens []leadevents.BatchID, keep time.Duration, owners []leadevents.BatchID) ([]leadevents.Contest, error) {
	l.mu.Lock()
	before := l.before
	l.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return nil, err
		}
	}
	return l.Ledger.Seal(ctx, v, keys, tokens, keep, owners)
}
