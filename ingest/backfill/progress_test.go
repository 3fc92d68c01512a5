package backfill

import (
	"testing"
	"time"
)

// What is answered of spans that are on their way counts, so that a bar goes on; and the end is the end.
func TestProgressCountsWhatIsAnsweredOfASpan(t *testing.T) {
	ago := time.Now().Add(-10 * time.Second)
	f := &flights{
		caller: &caller{pace: newPace(1)}, source: &fileOfRows{n: 1000}, begun: ago, reading: ago, passed: 100, live: Counts{Rows: 20},
		queue: []*flight{
			{span: &span{rows: 10}, read: 300, counts: Counts{Rows: 5}},
			{span: &span{rows: 20}, read: 700, counts: Counts{Rows: 15}},
			{span: &span{}, read: 800}, // of nothing but empty lines
		},
	}
	var r Runner
	r.flights.Store(f)
	p := r.Progress()
	if want := int64(100 + 100 + 300); p.Read != want || p.Size != 1000 {
		t.Errorf("%d of %d bytes, want %d", p.Read, p.Size, want)
	}
	if p.Left < 9*time.Second || p.Left > 11*time.Second {
		t.Errorf("half is read in 10 s, and %s are left", p.Left)
	}
}
