package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"leadevents"
	"leadevents/ingest"
)

// noted is an event with metadata.
func noted(phone int, at leadevents.Millis, note string) leadevents.Event {
	e := event(phone, at)
	e.Metadata = []byte(`{"note":"` + note + `"}`)
	return e
}

// indexed is a call whose rows are told by their places.
func indexed(eventType string, events ...leadevents.Event) *ingest.Call {
	c := call(eventType, events...)
	for i := range events {
		c.Index = append(c.Index, uint32(i+10)) // as if rejects stood in front
	}
	return c
}

func (p *process) conflicts(c *ingest.Call, want ...uint32) {
	p.t.Helper()
	result := p.submit(c)
	if result.Conflicts == nil || result.Conflicts.Count != len(want) || !slices.Equal(result.Conflicts.Rows, want) {
		p.t.Fatalf("%s: conflicts %+v, want those of rows %d", c.EventType, result.Conflicts, want)
	}
	if c.DryRun {
		return
	}
	receipt, ok, err := p.db.Receipt(p.t.Context(), 42, result.Batch, 0)
	if err != nil || !ok || receipt.Conflicts == nil || receipt.Conflicts.Count != len(want) || !slices.Equal(receipt.Conflicts.Rows, want) {
		p.t.Fatalf("%s: the receipt says %+v, %v", c.EventType, receipt.Conflicts, err)
	}
}

func TestADuplicateWithOtherMetadataIsAConflict(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	s.ingest.Conflicts = true
	p := s.start(t)
	for name, at := range map[string]leadevents.Millis{"live": now(), "old": now().Add(-900 * 24 * time.Hour)} {
		first := []leadevents.Event{noted(1, at, "a"), noted(2, at, "b"), noted(3, at, "c")}
		p.conflicts(indexed(name, first...))
		p.conflicts(indexed(name, first...)) // the same again
		changed := []leadevents.Event{noted(1, at, "a"), noted(2, at, "other"), noted(3, at, "another"), noted(4, at, "new")}
		dry := indexed(name, changed...)
		dry.DryRun = true
		p.conflicts(dry, 11, 12)
		keyed := func() *ingest.Call {
			c := indexed(name, changed...)
			c.IdempotencyKey = name
			return c
		}
		p.conflicts(keyed(), 11, 12)
		p.conflicts(keyed(), 11, 12) // as it was answered before
		// What stands twice in a call is held to what is stored: here the first of them,
		p.conflicts(indexed(name, noted(5, at, "x"), noted(5, at, "x"), noted(5, at, "y")), 12)
		// and here neither, or the second.
		p.conflicts(indexed(name, noted(5, at, "z"), noted(5, at, "y"), noted(5, at, "x")), 10, 11)
		p.conflicts(indexed(name, noted(5, at, "x"), noted(5, at, "y")), 11)
	}
	many := make([]leadevents.Event, 3000)
	for i := range many {
		many[i] = noted(i, now(), "a")
		many[i].OccurredAt += leadevents.Millis(i)
	}
	p.conflicts(indexed("many", many...))
	for i := range many {
		many[i].Metadata = []byte(fmt.Sprintf(`{"n":%d}`, i))
	}
	result := p.submit(indexed("many", many...))
	if result.Conflicts.Count != 3000 || len(result.Conflicts.Rows) != leadevents.MaxConflictsShown {
		t.Errorf("%d conflicts, %d shown", result.Conflicts.Count, len(result.Conflicts.Rows))
	}

	// Of calls that are stored together one is told inserted, and the others' metadata is lost.
	var calls sync.WaitGroup
	var mu sync.Mutex
	inserted, conflicts := 0, 0
	at := now()
	for i := range 20 {
		calls.Go(func() {
			result, err := p.ingester.Submit(context.Background(), indexed("together", noted(1, at, fmt.Sprint(i))))
			mu.Lock()
			defer mu.Unlock()
			if err != nil || result.Conflicts == nil {
				t.Errorf("%+v, %v", result, err)
				return
			}
			inserted, conflicts = inserted+result.Inserted, conflicts+result.Conflicts.Count
		})
	}
	calls.Wait()
	if inserted != 1 || conflicts != 19 {
		t.Errorf("%d inserted, %d conflicts", inserted, conflicts)
	}
}

// blindStore cannot compare metadata.
type blindStore struct{ ingest.Store }

func (blindStore) FindDiffering(context.Context, leadevents.OrgID, string, []uint64, []int64, []uint64) ([]leadevents.StoredMetadata, error) {
	return nil, errors.New("no")
}

// Nobody looks unless it is asked for, and what cannot be looked at harms no call.
func TestConflictsAreUnknownWhereNobodyLooked(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	quiet := s.start(t)
	s.ingest.Conflicts = true
	s.betweenStore = func(store ingest.Store) ingest.Store { return blindStore{store} }
	blind := s.start(t)
	at := now()
	quiet.expect(indexed("e", noted(1, at, "a")), 1, 0)
	for name, p := range map[string]*process{"off": quiet, "blind": blind} {
		result := p.expect(indexed("e", noted(1, at, "b")), 0, 1)
		receipt, ok, err := p.db.Receipt(t.Context(), 42, result.Batch, 0)
		if result.Conflicts != nil || err != nil || !ok || receipt.Conflicts != nil {
			t.Errorf("%s: %+v, the receipt says %+v, %v", name, result.Conflicts, receipt.Conflicts, err)
		}
	}
}

// What an all-duplicates call of 50,000 events takes with and without the look.
func BenchmarkAllDuplicates(b *testing.B) {
	for name, age := range map[string]time.Duration{"live": 0, "old": 900 * 24 * time.Hour} {
		s := newStores(b)
		quiet := s.start(b)
		s.ingest.Conflicts = true
		looking := s.start(b)
		list := make([]leadevents.Event, 50_000)
		at := now().Add(-age)
		for i := range list {
			list[i] = leadevents.Event{Phone: leadevents.Phone(15550000000 + i), OccurredAt: at - leadevents.Millis(i*12), Metadata: []byte(`{"orderId":"ord_9F2","amountUsd":297}`)}
		}
		quiet.expect(call("bench", list...), 50_000, 0)
		for _, p := range []struct {
			name string
			*process
		}{{"off", quiet}, {"on", looking}} {
			b.Run(name+"/"+p.name, func(b *testing.B) {
				for b.Loop() {
					p.expect(call("bench", list...), 0, 50_000)
				}
			})
		}
	}
}
