package clickhouse

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func randomList(r *rand.Rand, n int, below uint64) phoneList {
	var list phoneList
	for range n {
		list = append(list, 1+r.Uint64N(below))
	}
	list.put()
	return list
}

// Blocks of phones, in order, in pieces of order and in none, dense and thin.
func TestMarkerMarksWhomItIsGiven(t *testing.T) {
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for range 2000 {
		below := []uint64{50, 1000, 1 << 40, 1<<64 - 1}[r.IntN(4)]
		leads := randomList(r, r.IntN(200), below)
		m, given := leads.marks(), map[uint64]bool{}
		for range r.IntN(5) {
			block := []uint64(randomList(r, r.IntN(300), below))
			for range r.IntN(20) {
				if len(leads) > 0 {
					block = append(block, leads[r.IntN(len(leads))])
				}
			}
			if r.IntN(3) > 0 {
				slices.Sort(block)
			}
			leads.mark(m, block)
			for _, p := range block {
				given[p] = true
			}
		}
		for i, p := range leads {
			if m.has(i) != given[p] {
				t.Fatalf("lead %d of %v: marked %t, given %t", p, leads, m.has(i), given[p])
			}
		}
		some := leads.marks()
		var want phoneList
		for i, p := range leads {
			if r.IntN(2) == 0 {
				some[i/64] |= 1 << (i % 64)
			} else if given[p] {
				want = append(want, p)
			}
		}
		if got := leads.picked(m, some); !slices.Equal(got, want) {
			t.Fatalf("picked %v, want %v", got, want)
		}
	}
}

func TestSiftCountsTheFirstThatDrops(t *testing.T) {
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for range 500 {
		n := r.IntN(300)
		sieves := make([]sieve, r.IntN(5))
		for i := range sieves {
			sieves[i] = sieve{make(marks, (n+63)/64), r.IntN(2) == 0}
			for w := range sieves[i].marks {
				sieves[i].marks[w] = r.Uint64() // beyond the last lead, too
			}
		}
		var wantKept uint64
		want := make([]uint64, len(sieves))
		for lead := range n {
			drops := slices.IndexFunc(sieves, func(s sieve) bool { return s.marks.has(lead) == s.drops })
			if drops < 0 {
				wantKept++
			} else {
				want[drops]++
			}
		}
		if kept, dropped := sift(n, sieves); kept != wantKept || !slices.Equal(dropped, want) {
			t.Fatalf("%d leads: kept %d, dropped %d; want %d, %d", n, kept, dropped, wantKept, want)
		}
	}
}

func TestPhoneListsComeInOrder(t *testing.T) {
	var list phoneList
	ascending := true
	list.add([]uint64{1, 1, 2}, &ascending)
	list.add([]uint64{2, 3}, &ascending)
	if !ascending || !slices.Equal(list, phoneList{1, 2, 3}) {
		t.Errorf("ascending %t: %v", ascending, list)
	}
	if list.add([]uint64{1, 4}, &ascending); ascending {
		t.Error("1 after 3 is ascending")
	}
	if list.put(); !slices.Equal(list, phoneList{1, 2, 3, 4}) {
		t.Errorf("put in order: %v", list)
	}
}

// Whatever the cuts are, the slices are all phones, each once.
func TestSlicesAreAllPhones(t *testing.T) {
	for name, cuts := range map[string][]float64{
		"none":        nil,
		"in order":    {5, 10},
		"no order":    {10, 5, 10},
		"of nothing":  {0, 0},
		"no number":   {nan(), 7},
		"beyond all":  {1e30, 1.8446744073709552e19, 3},
		"very large":  {9.3e18},
		"below phone": {0.5, 1},
	} {
		next := uint64(0)
		parts := cut(cuts)
		for i, s := range parts {
			if s.from != next || s.to < s.from {
				t.Errorf("%s: slice %d of %v", name, i, parts)
			}
			next = s.to + 1
		}
		if next != 0 {
			t.Errorf("%s: %v ends early", name, parts)
		}
	}
}

func nan() float64 { zero := 0.0; return zero / zero }

// A million leads, and nine million states of a type.
func BenchmarkMark(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	leads := randomList(r, 1_000_000, 1e11)
	states := randomList(r, 8_100_000, 1e11)
	for range 900_000 {
		states = append(states, leads[r.IntN(len(leads))])
	}
	slices.Sort(states)
	for b.Loop() {
		m := leads.marks()
		for block := range slices.Chunk(states, 65_409) {
			leads.mark(m, block)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(states)), "ns/phone")
}
