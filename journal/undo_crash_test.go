package journal_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"leadevents"
	"leadevents/journal"
)

// steppedUndo are the steps of a worker at undos.
type steppedUndo struct {
	journal.UndoStore
	stepper
}

func (s *steppedUndo) CollectUndone(ctx context.Context, org leadevents.OrgID, of []journal.Undoing, look journal.Look, settled leadevents.Millis) (counts map[uint64]journal.Counts, err error) {
	err = s.step("collect", func() error {
		counts, err = s.UndoStore.CollectUndone(ctx, org, of, look, settled)
		return err
	})
	return counts, err
}

func (s *steppedUndo) AppendJournal(ctx context.Context, org leadevents.OrgID, records ...journal.Record) error {
	if records[0].Step == journal.Begun {
		return s.UndoStore.AppendJournal(ctx, org, records...)
	}
	return s.step("record "+string(records[0].Step), func() error { return s.UndoStore.AppendJournal(ctx, org, records...) })
}

func (s *steppedUndo) RemoveUndone(ctx context.Context, org leadevents.OrgID, of []journal.Undoing) error {
	return s.step("rows", func() error { return s.UndoStore.RemoveUndone(ctx, org, of) })
}

func (s *steppedUndo) RestateUndone(ctx context.Context, org leadevents.OrgID, of []journal.Undoing) error {
	return s.step("states", func() error { return s.UndoStore.RestateUndone(ctx, org, of) })
}

func (s *steppedUndo) UndoneKeys(ctx context.Context, org leadevents.OrgID, of []journal.Undoing, f func([]leadevents.Key, []leadevents.BatchID) error) error {
	return s.step("keys", func() error { return s.UndoStore.UndoneKeys(ctx, org, of, f) })
}

func (s *steppedUndo) MarkUndone(ctx context.Context, org leadevents.OrgID, of []journal.Undoing) error {
	return s.step("receipts", func() error { return s.UndoStore.MarkUndone(ctx, org, of) })
}

func (s *steppedUndo) ForgetUndone(ctx context.Context, org leadevents.OrgID, of []journal.Undoing) error {
	return s.step("forget", func() error { return s.UndoStore.ForgetUndone(ctx, org, of) })
}

// A worker dies at one step of an undo after the other, and another one goes on each time:
// filters are right all the while, what was stored before stays, and so does what is sent
// again meanwhile, if it was told inserted.
func TestACrashAtAnyStepOfAnUndoIsGoneOnFrom(t *testing.T) {
	w := newUndoWorld(t, nil)
	stays := []at{{1, longAgo}, {2, w.now - 60_000}}
	w.sent(2, stays...)
	places := []string{"before collect"}
	for _, step := range []string{"collect", "record collected", "rows", "states", "keys", "receipts", "record removed", "forget", "record verified"} {
		places = append(places, "after "+step) // which is before the next one
	}
	var fresh []at
	for n := range leadevents.Millis(len(places)) {
		fresh = append(fresh, at{1, longAgo - 1 - n}, at{2, w.now - 50_000 + n}, at{3, longAgo - 1 - n})
	}
	batch := w.sent(len(fresh), append(fresh, stays...)...)
	stored := stays
	for i, place := range places {
		died := make(chan struct{})
		die := sync.OnceFunc(func() { close(died) })
		u, kill := w.undos(time.Millisecond, func(store journal.UndoStore) journal.UndoStore {
			return &steppedUndo{store, func(at string) error {
				if at == place {
					die()
				}
				select {
				case <-died: // and does nothing any more
					return errDied
				default:
					return nil
				}
			}}
		})
		if i == 0 {
			_, err := u.Undo(t.Context(), ours, batch, false)
			w.must("undo", err)
		}
		select {
		case <-died:
		case <-time.After(time.Minute):
			t.Fatalf("no worker came %s", place)
		}
		kill()
		w.holds(place, false, stored...)
		for n := range 3 { // a call each: of those long ago ClickHouse alone may know
			again := fresh[3*i+n]
			if r, err := w.call("", "", again); err != nil {
				t.Errorf("%s: sent again: %v", place, err)
			} else if r.Inserted == 1 {
				stored = append(stored, again)
			} else if i > 6 {
				t.Errorf("%s: %v is a duplicate, and was undone", place, again)
			}
		}
	}
	u, _ := w.undos(time.Millisecond, nil)
	w.verified(u, batch)
	w.holds("in the end", true, stored...)
	receipt, _, err := w.db.Receipt(t.Context(), ours, batch, 0)
	if err != nil || receipt.State != leadevents.BatchUndone {
		t.Errorf("the receipt is %+v, %v", receipt, err)
	}
	if len(stored) < len(stays)+3*4 {
		t.Errorf("stored again were %v", stored)
	}
}

// Batches are undone while the same keys are sent again and again, by several, of now and
// of long ago: each key is told inserted once more than it was undone where it is stored,
// and as often where it is not.
func TestKeysThatAreSentWhileTheyAreUndoneAreCountedExactly(t *testing.T) {
	w := newUndoWorld(t, nil)
	u, _ := w.undos(300*time.Millisecond, nil)
	const keys, senders = 6, 4
	moments := [keys]at{{1, w.now - 60_000}, {2, longAgo}, {3, w.now - 60_000}, {3, longAgo}, {4, longAgo}, {5, w.now - 60_000}}
	var (
		mu       sync.Mutex
		inserted [keys]int                      // told, by key
		undone   [keys]int                      // of those
		owned    = map[leadevents.BatchID]int{} // batches of one key that they were told inserted
		answered int
	)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var work sync.WaitGroup
	for s := range senders {
		random := rand.New(rand.NewPCG(7, uint64(s)))
		work.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				k, key := random.IntN(keys), ""
				if n%3 == 0 {
					key = fmt.Sprint(s, " ", n)
				}
				r, err := w.call(key, "", moments[k])
				if err != nil {
					continue // told to send it again
				}
				mu.Lock()
				answered++
				if r.Inserted == 1 {
					inserted[k]++
					owned[r.Batch] = k
				}
				mu.Unlock()
			}
		})
	}
	take := func() map[leadevents.BatchID]int {
		mu.Lock()
		defer mu.Unlock()
		taken := owned
		owned = map[leadevents.BatchID]int{}
		return taken
	}
	var all []leadevents.BatchID
	for len(all) < keys+2 {
		if ctx.Err() != nil {
			t.Fatalf("%d calls were answered, %d batches undone: too few to tell", answered, len(all))
		}
		some := take()
		for batch := range some {
			_, err := u.Undo(t.Context(), ours, batch, false)
			w.must("undo", err)
		}
		for batch, k := range some {
			w.undone(u, batch)
			mu.Lock()
			undone[k]++
			mu.Unlock()
			all = append(all, batch)
		}
	}
	stop()
	work.Wait()
	for _, batch := range all {
		w.verified(u, batch)
	}
	var stored []at
	for k, e := range moments {
		switch inserted[k] - undone[k] {
		case 0:
		case 1:
			stored = append(stored, e)
		default:
			t.Errorf("key %d was told inserted %d times, and undone %d times", k, inserted[k], undone[k])
		}
	}
	w.holds("in the end", true, stored...)
	t.Logf("%d calls were answered, %d batches undone", answered, len(all))
}
