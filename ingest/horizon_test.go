package ingest_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"leadevents"
	"leadevents/ingest"
	"leadevents/ingest/ledger"
)

// shortHorizons: what takes three days in production takes five seconds here. The
// deadline is what a busy machine needs for an insert; the rest follows from it.
func shortHorizons(s *stores) {
	s.ledger.Deadline = 300 * time.Millisecond
	s.ledger.ShortHorizon = 3 * time.Second
	s.ledger.Horizon = 5 * time.Second
	s.ledger.Margin = 50 * time.Millisecond
	s.ledger.SlotWidth = 10 // a slot is a second
	s.ledger.SlotBits = 1
}

// expired waits until Redis has forgotten every key.
func (w *world) expired() {
	w.t.Helper()
	c := w.client()
	eventually(w.t, "Redis has forgotten the keys", func() bool {
		buckets, err := c.Keys(w.t.Context(), "k*").Result()
		return err == nil && len(buckets) == 0
	})
}

// The expiry rule from the outside: whatever Redis has forgotten, sending it again
// answers duplicates for all.
func TestSendingAgainAfterExpiryAnswersDuplicates(t *testing.T) {
	w := newWorld(t, shortHorizons)
	old, live := events(700, now().Add(-300*24*time.Hour)), events(700, now().Add(-2*time.Second))
	w.process.wants(700, 0, "old", old)
	w.process.wants(700, 0, "live", live)
	w.process.wants(0, 700, "old", old)
	w.process.wants(0, 700, "live", live)
	w.expired()
	w.process.wants(0, 700, "old", old)
	w.process.wants(0, 700, "live", live)
	if s := w.process.ledger.Status(); !trusted(s) || s.LastReason != "" {
		t.Fatalf("forgetting in time made the ledger %+v", s)
	}
}

// Live traffic all the while a horizon passes several times: each event is sent
// as it happens, again a little later, again around its expiry, and after.
func TestCountsAreExactAroundExpiry(t *testing.T) {
	w := newWorld(t, shortHorizons)
	var sent [][]leadevents.Event
	end := time.Now().Add(12 * time.Second)
	for n := 0; time.Now().Before(end); n++ {
		list := events(20, now())
		for i := range list {
			list[i].Phone += leadevents.Phone(n * 100)
		}
		w.process.wants(20, 0, "stream", list)
		sent = append(sent, list)
		// Every earlier call comes round again at ages from nothing to the end.
		for i := n % 7; i < len(sent); i += 7 {
			w.process.wants(0, 20, "stream", sent[i])
		}
	}
	if got := w.process.stored(); got != 20*len(sent) {
		t.Fatalf("%d keys are stored, want %d", got, 20*len(sent))
	}
}

// Keys of events far in the future stay until those are past, and the horizon:
// otherwise an event would be new again when its time comes.
func TestTheFarFutureIsRememberedUntilItIsPast(t *testing.T) {
	w := newWorld(t, shortHorizons)
	list := events(50, now().Add(3*time.Second))
	w.process.wants(50, 0, "future", list)
	for time.Now().Before(list[49].OccurredAt.Time().Add(7 * time.Second)) {
		w.process.wants(0, 50, "future", list)
		select {
		case <-t.Context().Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	far := events(50, leadevents.MaxOccurredAt-1000)
	w.process.wants(50, 0, "far", far)
	c := w.client()
	for _, bucket := range c.Keys(t.Context(), "k*").Val() {
		if ttl := c.PTTL(t.Context(), bucket).Val(); ttl > 0 && ttl < 20*365*24*time.Hour {
			t.Fatalf("a bucket of the year 2099 is forgotten in %s", ttl)
		}
	}
	w.process.wants(0, 50, "far", far)
}

// failingLedger refuses to seal, as often as told.
type failingLedger struct {
	ingest.Ledger
	left *atomic.Int64
}

func (f failingLedger) Seal(ctx context.Context, v ledger.View, keys []leadevents.Key, tokens []leadevents.BatchID, keep time.Duration, owners []leadevents.BatchID) ([]leadevents.Contest, error) {
	if f.left.Add(-1) >= 0 {
		return nil, leadevents.Errorf(leadevents.Unavailable, "no seal for the test")
	}
	return f.Ledger.Seal(ctx, v, keys, tokens, keep, owners)
}

// The rows are stored and nobody was told so: sent again, they count as inserted.
func TestACallWhoseSealFailedIsCountedInsertedWhenSentAgain(t *testing.T) {
	for name, list := range map[string][]leadevents.Event{
		"live": events(900, now()), "old": events(900, now().Add(-300*24*time.Hour)),
	} {
		t.Run(name, func(t *testing.T) {
			var left atomic.Int64
			w := newWorld(t, func(s *stores) {
				s.betweenLedger = func(l ingest.Ledger) ingest.Ledger { return failingLedger{l, &left} }
			})
			left.Store(3) // one seal and its two retries
			if _, err := w.process.ingester.Submit(t.Context(), call("unsealed", list...)); leadevents.KindOf(err) != leadevents.Unavailable {
				t.Fatalf("got %v, want a 503", err)
			}
			if got := w.process.stored(); got != 900 {
				t.Fatalf("%d keys are stored, want 900", got)
			}
			w.process.wants(900, 0, "unsealed", list)
			w.process.wants(0, 900, "unsealed", list)
			if got := w.process.stored(); got != 900 {
				t.Fatalf("%d keys are stored, want 900", got)
			}
		})
	}
}

// A horizon that grows: keys that the shorter one let go would be looked for in
// Redis alone.
func TestFaultTheHorizonIsChanged(t *testing.T) {
	w := newWorld(t, shortHorizons)
	list := events(400, now().Add(-2500*time.Millisecond))
	w.process.wants(400, 0, "between", list)
	w.expired()
	before := w.process.ledger.Status()
	w.stores.ledger.Horizon = time.Hour
	w.process.stop()
	longer := w.start(t)
	longer.wants(0, 400, "between", list)
	w.process = longer
	w.noticed(before, "ledger.horizon was 5s and is 1h0m0s")
	longer.wants(0, 400, "between", list)
}

func TestFaultTheLayoutIsChanged(t *testing.T) {
	w := newWorld(t)
	h := w.process.history()
	w.process.stop()
	w.survives(h, func() {
		w.stores.ledger.SlotBits = 5
		w.process = w.start(t)
	}, "layout")
}

// Redis' clock was an hour ahead for a while, and no process of ours was there to
// see it go back; its heartbeat was.
func TestFaultRedisClockHasGoneBack(t *testing.T) {
	w := newWorld(t)
	w.survives(w.process.history(), func() {
		ahead := now().Add(time.Hour)
		if err := w.client().Set(t.Context(), "beat", int64(ahead), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}, "behind its own heartbeat")
	// Rows stamped while it was ahead are found, and no younger than trust.
	status := w.process.ledger.Status()
	if status.Since < now().Add(59*time.Minute) {
		t.Fatalf("trusted since %s; rows are stamped up to an hour from now", status.Since)
	}
}
