package ingest_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/ingest"
	"leadevents/ingest/ledger"
)

// A call stores its rows while the ledger is rebuilt, where the rebuild has not come to
// and will not look (they are stamped later), and dies before its
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
	w.process.until("rebuilding", func(s ledger.Status) bool { return s.State == ledger.Rebuilding && s.RebuiltKeys > 0 })

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

// What occurred lately is set again first, and from then on decided by Redis alone, in
// every process, while older keys are still looked up.
func TestFaultWhatIsRebuiltIsNotLookedUp(t *testing.T) {
	var left atomic.Int64
	registry := prometheus.NewRegistry()
	w := newWorld(t, func(s *stores) {
		s.ledger.RebuildRate = 1000
		s.ingest.Metrics = registry
		s.betweenLedger = func(l ingest.Ledger) ingest.Ledger { return failingLedger{l, &left} }
	})
	lookedUp := func() int { return int(metric(t, registry, "leadevents_ingest_cold_checked_total")) }
	old, live := events(5000, now().Add(-50*time.Hour)), events(500, now().Add(-3*time.Hour))
	w.process.wants(5000, 0, "e", old)
	w.process.wants(500, 0, "e", live)
	w.flush()
	w.process.until("rebuilding", func(s ledger.Status) bool { return s.State == ledger.Rebuilding && s.Slice >= 10 })
	before := lookedUp()
	fresh := events(400, now().Add(-5*time.Hour))
	eventually(t, "nothing of what is set again is looked up", func() bool {
		// Until the process has looked at the stores again it knows of fewer slices than are set.
		before = lookedUp()
		list := events(1, now().Add(-6*time.Hour))
		w.process.wants(1, 0, "probe", list)
		return lookedUp() == before
	})
	w.process.wants(0, 500, "e", live)
	// Nobody was told inserted of what dies unsealed, and nobody duplicate.
	left.Store(3) // one seal and its two retries
	if _, err := w.process.ingester.Submit(t.Context(), call("e", fresh...)); leadevents.KindOf(err) != leadevents.Unavailable {
		t.Fatalf("got %v, want a 503", err)
	}
	left.Store(0)
	w.process.wants(400, 0, "e", fresh)
	w.process.wants(0, 400, "e", fresh)
	if n := lookedUp(); n != before {
		t.Fatalf("%d keys of what is set again were looked up", n-before)
	}
	older := events(100, now().Add(-60*time.Hour))
	w.process.wants(100, 0, "e", older)
	if n := lookedUp(); n < before+100 {
		t.Fatalf("of what is not set again %d keys were looked up, want 100", n-before)
	}
	if s := w.process.ledger.Status(); s.State != ledger.Rebuilding {
		t.Fatalf("the rebuild is over before the test: %+v", s)
	}
	w.process.until("trusted", trusted)
	for _, list := range [][]leadevents.Event{old, older, live, fresh} {
		w.process.wants(0, len(list), "e", list)
	}
	if got := w.process.stored(); got < 6000 {
		t.Fatalf("%d keys are stored, want 6000 and the probes", got)
	}
}
