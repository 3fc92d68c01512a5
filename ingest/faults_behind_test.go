package ingest_test

import (
	"sync/atomic"
	"testing"
	"time"

	"leadevents"
	"leadevents/ingest"
	"leadevents/ingest/ledger"
)

// A call stores its rows where the rebuild has already been, and dies before its
// seal. Whoever sends the events meanwhile is told duplicates, on the ground of the
// rows alone: that must hold when the ledger is trusted again, and for as long.
func TestFaultARowIsStoredBehindTheRebuild(t *testing.T) {
	for name, at := range map[string]leadevents.Millis{
		"live": now().Add(-70 * time.Hour), "old": now().Add(-700 * 24 * time.Hour),
	} {
		for _, claimed := range []bool{false, true} {
			title := name
			if claimed {
				title += ", with an Idempotency-Key"
			}
			t.Run(title, func(t *testing.T) { storedBehindTheRebuild(t, at, claimed) })
		}
	}
}

func storedBehindTheRebuild(t *testing.T, at leadevents.Millis, claimed bool) {
	var left atomic.Int64
	w := newWorld(t, func(s *stores) {
		s.ledger.RebuildRate = 1000
		s.betweenLedger = func(l ingest.Ledger) ingest.Ledger { return failingLedger{l, &left} }
	})
	w.process.wants(8000, 0, "much", events(8000, now().Add(-time.Hour)))
	w.flush()
	w.process.until("rebuilding", func(s ledger.Status) bool { return s.State == ledger.Rebuilding && s.Slice >= 10 })

	list := events(300, at)
	dies := func() *ingest.Call {
		c := call("behind", list...)
		if claimed {
			c.IdempotencyKey, c.BodyHash = "k", [16]byte{1}
		}
		return c
	}
	left.Store(3) // one seal and its two retries
	if _, err := w.process.ingester.Submit(t.Context(), dies()); leadevents.KindOf(err) != leadevents.Unavailable {
		t.Fatalf("got %v, want a 503", err)
	}
	left.Store(0)
	w.process.wants(0, 300, "behind", list) // nobody was told inserted, and nobody has to be
	if s := w.process.ledger.Status(); s.State != ledger.Rebuilding {
		t.Fatalf("the rebuild is over before the test: %+v", s)
	}
	w.process.until("trusted", trusted)
	w.process.wants(0, 300, "behind", list)
	if claimed { // what died goes on, and its rows are its own
		if result := w.process.try(dies); result.Inserted != 300 {
			t.Fatalf("the call that died was told %d inserted, want 300", result.Inserted)
		}
	}
	w.process.wants(0, 300, "behind", list)
	if got := w.process.stored(); got != 8300 {
		t.Fatalf("%d keys are stored, want 8300", got)
	}
}
