package chaos

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestAPlanIsReplayedByItsSeed(t *testing.T) {
	draw := func(seed uint64) (faults []Fault) {
		p := NewPlan(seed, Kinds, 2, time.Second)
		for range 100 {
			faults = append(faults, p.Next())
		}
		return faults
	}
	one, again, other := draw(1), draw(1), draw(2)
	differ := false
	for i := range one {
		if one[i] != again[i] {
			t.Fatalf("fault %d is %v and then %v", i, one[i], again[i])
		}
		differ = differ || one[i] != other[i]
	}
	if !differ {
		t.Error("another seed has the same faults")
	}
}

func TestAPlanHasEveryKindBeforeAnyComesAgain(t *testing.T) {
	p := NewPlan(3, Kinds, 2, time.Second)
	for range 3 {
		seen := map[Kind]bool{}
		for range Kinds {
			seen[p.Next().Kind] = true
		}
		if len(seen) != len(Kinds) {
			t.Errorf("%d kinds of %d", len(seen), len(Kinds))
		}
	}
}

func TestFaultsThatOutlastTheDeadlines(t *testing.T) {
	p := NewPlan(4, []Kind{FreezeServer, FreezeStore, StallStore}, 2, 3*time.Second)
	for range 100 {
		if f := p.Next(); f.For < 3*time.Second {
			t.Errorf("%s is over before the deadlines", f)
		}
	}
}

func TestCallsOverlap(t *testing.T) {
	w := NewWorkload([]int{1}, time.Minute)
	random := rand.New(rand.NewPCG(1, 1))
	rows, repeated := 0, 0
	seen := map[int]bool{}
	for range 500 {
		for _, k := range w.Draw(random, time.Now()).Rows {
			rows++
			if seen[k] {
				repeated++
			}
			seen[k] = true
			if k < 0 {
				continue
			}
			if back, ok := w.Key(w.Event(k)); !ok || back != k {
				t.Fatalf("key %d is found as %d, %v", k, back, ok)
			}
		}
	}
	if repeated*2 < rows {
		t.Errorf("%d of %d rows repeat a key: too few to race", repeated, rows)
	}
	if _, ok := w.Key(Event{Org: 1, Type: "opened", Phone: 1}); ok {
		t.Error("an event that was never drawn has a key")
	}
}
