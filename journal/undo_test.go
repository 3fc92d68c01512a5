package journal_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"leadevents"
	"leadevents/audit"
	"leadevents/ingest"
	"leadevents/journal"
)

// Of two overlapping batches the second is undone: what the first had stored stays, other
// events of the same leads stay, filters are right from the answer on, and the keys are
// new again; the undo of the first then leaves what came since.
func TestTheSecondOfTwoOverlappingBatchesIsUndone(t *testing.T) {
	w := newUndoWorld(t, nil)
	u, _ := w.undos(200*time.Millisecond, nil)
	recent := w.now - 60_000
	both := []at{{1, recent}, {2, recent}, {3, longAgo}, {3, recent}}
	alone := []at{{3, recent + 1}, {3, longAgo - 1}, {4, recent}, {5, longAgo}}
	first := w.sent(4, both...)
	second := w.sent(4, append(alone, both...)...)
	w.holds("before", true, append(alone, both...)...)
	told, _, err := w.db.Receipt(t.Context(), ours, second, 0)
	w.must("the receipt", err)
	if told.Inserted != 4 || told.Duplicates != 4 || told.Conflicts == nil {
		t.Errorf("the receipt is %+v", told)
	}

	_, err = u.Undo(t.Context(), ours, second, false)
	w.must("undo", err)
	w.holds("right after the answer", false, both...)
	s := w.undone(u, second)
	if s.State != journal.BatchUndone || s.Counts[journal.Keys] != 4 {
		t.Errorf("%+v", s)
	}
	w.holds("undone", true, both...)
	if again := w.undone(u, second); again.RequestedAt != s.RequestedAt || again.UndoneAt != s.UndoneAt {
		t.Errorf("undone twice: %+v, then %+v", s, again)
	}
	receipt, _, err := w.db.Receipt(t.Context(), ours, second, 0)
	if told.State = leadevents.BatchUndone; err != nil || !reflect.DeepEqual(receipt, told) {
		t.Errorf("the receipt is %+v, %v, want it as it was: %+v", receipt, err, told)
	}

	third := w.sent(4, append(alone, both...)...)
	w.holds("sent again", true, append(alone, both...)...)
	w.verified(u, second)
	w.holds("verified", true, append(alone, both...)...)
	w.undone(u, first)
	w.holds("the first is undone, too", true, alone...)
	for _, e := range both {
		if owner := w.owner(e); owner != 0 {
			t.Errorf("%v is still batch %d's", e, owner)
		}
	}
	if owner := w.owner(alone[0]); owner != third {
		t.Errorf("the key that was sent again is batch %d's, want %d", owner, third)
	}
	unpurged, err := w.db.Unpurged(t.Context())
	if err != nil || len(unpurged) == 0 || unpurged[0].Kind != journal.Undo {
		t.Errorf("the purge is to come: %+v, %v", unpurged, err)
	}
	entries, err := w.db.AuditEntries(t.Context(), ours, audit.Filter{Action: audit.BatchUndo}, audit.Position{}, 10)
	if err != nil || len(entries) != 2 || entries[1].Object != second.String() || entries[0].Outcome != audit.Done {
		t.Errorf("audit log: %+v, %v", entries, err)
	}
}

// A call whose seal failed was told 503, and its rows are stored. Sent again it is told
// inserted; its undo takes the rows of both attempts, whatever merges have left, with an
// Idempotency-Key, which is then a 409, and without.
func TestABatchWhoseFirstAttemptFailedIsUndone(t *testing.T) {
	for _, key := range []string{"", "mine"} {
		t.Run("key "+key, func(t *testing.T) {
			l := &losing{}
			w := newUndoWorld(t, func(inner ingest.Ledger) ingest.Ledger { l.Ledger = inner; return l })
			u, _ := w.undos(100*time.Millisecond, nil)
			events := []at{{1, w.now - 60_000}, {2, longAgo}}
			l.set(func() error { return errLost })
			if _, err := w.call(key, "", events...); err == nil {
				t.Fatal("the first attempt was answered")
			}
			if n := len(w.stored()); n != 2 {
				t.Fatalf("%d rows are stored", n)
			}
			l.set(nil)
			r, err := w.call(key, "", events...)
			if err != nil || r.Inserted != 2 {
				t.Fatalf("%+v, %v", r, err)
			}
			_, err = u.Undo(t.Context(), ours, r.Batch, false)
			w.must("undo", err)
			eventually(t, "it is undone", func() bool {
				s, err := u.Undo(t.Context(), ours, r.Batch, false)
				return err == nil && s.State == journal.BatchUndone
			})
			w.holds("undone", true)
			again, err := w.call(key, "", events...)
			if key != "" {
				if leadevents.KindOf(err) != leadevents.Conflict || !strings.Contains(err.Error(), "has been undone") {
					t.Errorf("the Idempotency-Key of an undone batch: %+v, %v", again, err)
				}
				again, err = w.call("another", "", events...)
			}
			if err != nil || again.Inserted != 2 {
				t.Errorf("sent again: %+v, %v", again, err)
			}
			w.verified(u, r.Batch)
			w.holds("verified", true, events...)
		})
	}
}

// Two calls store the same keys at once, one wins them: the undo of the loser leaves them,
// though a merge has kept its rows; that of the winner takes them, though none of its
// rows is left.
func TestContestedKeysAreTheWinners(t *testing.T) {
	for _, undo := range []string{"loser", "winner", "loser, then winner"} {
		t.Run(undo, func(t *testing.T) {
			l := &losing{}
			w := newUndoWorld(t, func(inner ingest.Ledger) ingest.Ledger { l.Ledger = inner; return l })
			u, _ := w.undos(100*time.Millisecond, nil)
			events := []at{{1, w.now - 60_000}, {1, longAgo}, {2, longAgo}}
			// While the loser is about to seal, the winner does all it has to: the loser's
			// rows are the older ones.
			winner := make(chan leadevents.BatchID, 1)
			l.set(func() error {
				l.set(nil)
				r, err := w.call("", "", events...)
				if err != nil || r.Inserted != 3 {
					t.Errorf("the winner: %+v, %v", r, err)
				}
				winner <- r.Batch
				return nil
			})
			r, err := w.call("", "", append(events, at{9, longAgo})...)
			if err != nil || r.Inserted != 1 || r.Duplicates != 3 {
				t.Fatalf("the loser: %+v, %v", r, err)
			}
			loser, won := r.Batch, <-winner
			w.must("store the loser's rows again", w.db.Conn().Exec(t.Context(), "INSERT INTO lead_events SELECT * FROM lead_events WHERE batch_id = "+loser.String()))
			w.must("merge", w.db.Conn().Exec(t.Context(), "OPTIMIZE TABLE lead_events FINAL"))
			if n := w.number("SELECT count() FROM lead_events WHERE batch_id = " + won.String()); n != 0 {
				t.Fatalf("%d rows of the winner are left", n)
			}
			for who := range strings.SplitSeq(undo, ", then ") {
				want := events
				batch := loser
				if who == "winner" {
					batch, want = won, []at{{9, longAgo}}
					if undo != "winner" {
						want = nil
					}
				}
				_, err := u.Undo(t.Context(), ours, batch, false)
				w.must("undo", err)
				w.holds(who+": right after the answer", false, want...)
				w.undone(u, batch)
				w.holds(who+": undone", true, want...)
				w.verified(u, batch)
				w.holds(who+": verified", true, want...)
			}
		})
	}
}

// A call claims keys by its Idempotency-Key and another one seals over the claim: until the
// claimant has ended the winner's keys are not given up, so it cannot win what it has been
// recorded to have lost. Then all rows of the winner's keys go, the claimant's too.
func TestAnUndoWaitsForClaimants(t *testing.T) {
	l := &losing{}
	w := newUndoWorld(t, func(inner ingest.Ledger) ingest.Ledger { l.Ledger = inner; return l })
	u, _ := w.undos(100*time.Millisecond, nil)
	events := []at{{1, w.now - 60_000}, {2, longAgo}}
	var winner leadevents.BatchID
	l.set(func() error {
		l.set(nil)
		winner = w.sent(2, events...)
		if _, err := u.Undo(t.Context(), ours, winner, false); err != nil {
			t.Errorf("undo: %v", err)
		}
		w.holds("right after the answer", false)
		time.Sleep(500 * time.Millisecond) // ten looks of the worker
		if owner := w.owner(events[0]); owner != winner {
			t.Errorf("the key is batch %d's while a claimant is under way", owner)
		}
		return nil
	})
	r, err := w.call("mine", "", events...)
	if err != nil || r.Inserted != 0 || r.Duplicates != 2 {
		t.Fatalf("the claimant: %+v, %v", r, err)
	}
	w.undone(u, winner)
	w.holds("undone", true)
	again := w.sent(2, events...)
	w.verified(u, winner)
	w.holds("verified", true, events...)
	w.undone(u, r.Batch)
	w.holds("the claimant is undone: it has inserted nothing", true, events...)
	w.undone(u, again)
	w.holds("all are undone", true)
}

// A call's first attempt died, and so did the one that sealed its keys, before it recorded
// that. Sent again the call is told duplicate, and its undo leaves the keys.
func TestWhatACallHasLostUnrecordedIsNotItsOwn(t *testing.T) {
	l := &losing{}
	w := newUndoWorld(t, func(inner ingest.Ledger) ingest.Ledger { l.Ledger = inner; return l })
	u, _ := w.undos(100*time.Millisecond, nil)
	lost := at{1, w.now - 60_000}
	l.set(func() error { return errLost })
	if _, err := w.call("mine", "", lost, at{2, longAgo}); err == nil {
		t.Fatal("the first attempt was answered")
	}
	l.set(nil)
	w.seal(w.l, 77, leadevents.Key{Org: ours, EventType: "bought", Phone: lost.phone(), OccurredAt: lost.moment})
	r, err := w.call("mine", "", lost, at{2, longAgo})
	if err != nil || r.Inserted != 1 || r.Duplicates != 1 {
		t.Fatalf("sent again: %+v, %v", r, err)
	}
	w.undone(u, r.Batch)
	w.holds("undone", true, lost)
}

// Redis is lost, and its rebuild has read the batch's rows before they were deleted: the
// batch is not undone before the rebuild has ended, and then its keys are new.
func TestARebuildBringsNoUndoneKeyBack(t *testing.T) {
	inner := newWorld(t)
	archive := &pausing{Archive: inner.db, read: make(chan struct{}), goOn: make(chan struct{})}
	w := undoWorldOn(inner, archive, nil)
	u, _ := w.undos(100*time.Millisecond, nil)
	events := []at{{int(lead - 15550000000), w.now - 60_000}, {2, w.now - 60_000}} // the archive waits at the first
	batch := w.sent(2, events...)
	archive.armed.Store(true)
	client := w.client()
	keys, err := client.Keys(t.Context(), w.redis.Prefix+"*").Result()
	w.must("list keys", err)
	w.must("lose Redis", client.Del(t.Context(), keys...).Err())
	select {
	case <-archive.read:
	case <-time.After(time.Minute):
		t.Fatal("no rebuild has read the rows")
	}
	_, err = u.Undo(t.Context(), ours, batch, false)
	w.must("undo", err)
	w.holds("right after the answer", false)
	time.Sleep(300 * time.Millisecond) // six looks of the worker
	if s, err := u.Undo(t.Context(), ours, batch, false); err != nil || s.State != journal.BatchUndoing {
		t.Errorf("while Redis is rebuilt: %+v, %v", s, err)
	}
	close(archive.goOn)
	w.undone(u, batch)
	w.holds("undone", true)
	w.sent(2, events...)
	w.verified(u, batch)
	if n := len(w.stored()); n != 2 {
		t.Errorf("%d events are stored", n)
	}
}

// All batches of a run are undone by one call, and those that come later by another.
func TestARunIsUndone(t *testing.T) {
	w := newUndoWorld(t, nil)
	u, _ := w.undos(100*time.Millisecond, nil)
	stays := w.sent(1, at{1, longAgo})
	for i := range 5 {
		if r, err := w.call(fmt.Sprint("part ", i), "spring", at{i, longAgo}, at{i, longAgo + 1}); err != nil || r.Inserted+r.Duplicates != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	runs, err := w.db.Runs(t.Context(), ours, "", leadevents.RunPosition{}, 10)
	if err != nil || len(runs) != 1 || runs[0].Batches != 5 || runs[0].Received != 10 || runs[0].Inserted != 9 || runs[0].Duplicates != 1 || runs[0].State() != leadevents.RunDone {
		t.Fatalf("runs: %+v, %v", runs, err)
	}
	r, err := u.UndoRun(t.Context(), ours, "spring", false)
	if err != nil || r.State() == leadevents.RunDone || r.Batches != 5 {
		t.Fatalf("%+v, %v", r, err)
	}
	w.holds("right after the answer", false, at{1, longAgo})
	r, err = u.WaitRun(t.Context(), ours, "spring")
	if err != nil || r.State() != leadevents.RunUndone || r.Undone != 5 || r.Inserted != 9 {
		t.Fatalf("%+v, %v", r, err)
	}
	w.holds("undone", true, at{1, longAgo})
	if r, err := w.call("part 9", "spring", at{2, longAgo}); err != nil || r.Inserted != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err = u.UndoRun(t.Context(), ours, "spring", false); err == nil {
		r, err = u.WaitRun(t.Context(), ours, "spring")
	}
	if err != nil || r.Undone != 6 || r.State() != leadevents.RunUndone {
		t.Fatalf("%+v, %v", r, err)
	}
	w.holds("undone again", true, at{1, longAgo})
	if s, found, err := w.db.Receipt(t.Context(), ours, stays, 0); err != nil || !found || s.State != leadevents.BatchDone {
		t.Errorf("another batch is %+v, %v", s, err)
	}
	if _, err := u.UndoRun(t.Context(), ours, "summer", false); leadevents.KindOf(err) != leadevents.NotFound {
		t.Errorf("a run that is not there: %v", err)
	}
	if _, err := u.UndoRun(t.Context(), theirs, "spring", false); leadevents.KindOf(err) != leadevents.NotFound {
		t.Errorf("a run of others: %v", err)
	}
}
