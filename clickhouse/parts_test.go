package clickhouse

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"leadevents"
)

// partsWorld is a table in memory: parts with keys, that are inserted, merged and mutated as
// ClickHouse does.
type partsWorld struct {
	*rand.Rand
	parts []part
	keys  map[string][]int // by the part's name
	block int64            // the last number given
	hash  uint64
	looks int // rows whose keys were looked up
	full  int // counts from nothing
}

func (w *partsWorld) put(p part, keys []int) {
	slices.Sort(keys)
	keys = slices.Compact(keys)
	w.hash++
	if p.name = fmt.Sprint(p.min, "_", p.max, "_", p.mutation, "_", w.hash); p.hash == 0 {
		p.hash = w.hash
	}
	p.rows = uint64(len(keys))
	w.parts = append(w.parts, p)
	w.keys[p.name] = keys
	slices.SortFunc(w.parts, func(a, b part) int { return cmp.Compare(a.min, b.min) })
}

// take removes n parts from the i-th on.
func (w *partsWorld) take(i, n int) (taken []part) {
	taken = slices.Clone(w.parts[i : i+n])
	w.parts = slices.Delete(w.parts, i, i+n)
	return taken
}

func (w *partsWorld) insert() {
	w.block += 1 + w.Int64N(2) // another partition's between
	keys := make([]int, 1+w.IntN(9))
	for i := range keys {
		keys[i] = w.IntN(500)
	}
	w.put(part{min: w.block, max: w.block}, keys)
}

func (w *partsWorld) merge() {
	if len(w.parts) < 2 {
		return
	}
	n := min(2+w.IntN(4), len(w.parts))
	i := w.IntN(len(w.parts) - n + 1)
	if w.IntN(3) > 0 { // mostly the newest
		i = len(w.parts) - n
	}
	taken := w.take(i, n)
	var keys []int
	merged := part{min: taken[0].min, max: taken[n-1].max}
	for _, p := range taken {
		keys = append(keys, w.keys[p.name]...)
		merged.mutation = max(merged.mutation, p.mutation)
	}
	w.put(merged, keys)
}

// mutate removes a key: parts that have it change, others get a name.
func (w *partsWorld) mutate() {
	w.block++
	gone := w.IntN(500)
	for _, p := range w.take(0, len(w.parts)) {
		keys := w.keys[p.name]
		if p.mutation = w.block; slices.Contains(keys, gone) {
			keys = slices.DeleteFunc(slices.Clone(keys), func(k int) bool { return k == gone })
			p.hash = 0
		}
		w.put(p, keys)
	}
}

func (w *partsWorld) distinct(parts []part) map[int]bool {
	all := map[int]bool{}
	for _, p := range parts {
		for _, k := range w.keys[p.name] {
			all[k] = true
		}
	}
	return all
}

// climb is [DB.climb] on this table.
func (w *partsWorld) climb(l ladder) ladder {
	one := func(n int) map[string]leadevents.TypeSummary {
		return map[string]leadevents.TypeSummary{"t": {Events: uint64(n)}}
	}
	l, rest := l.stand(w.parts)
	if len(rest) > 0 && len(l.rungs) == 0 {
		var large []part
		large, rest = bySize(w.parts, 30)
		l.rungs = []rung{{large, one(len(w.distinct(large)))}}
		w.full++
	}
	if len(rest) > 0 {
		fresh, known := w.distinct(rest), w.distinct(l.parts())
		maps.DeleteFunc(fresh, func(k int, _ bool) bool { return known[k] })
		l.add(rung{rest, one(len(fresh))})
		for _, p := range rest {
			w.looks += int(p.rows)
		}
	}
	return l
}

// A ladder's sum is the number of distinct keys, whatever is inserted, merged or removed between two looks,
// and what was counted is not counted again for every change.
func TestALadderCountsEveryKeyOnce(t *testing.T) {
	full, looks, all := 0, 0, 0
	for seed := range uint64(300) {
		w := &partsWorld{Rand: rand.New(rand.NewPCG(seed, 1)), keys: map[string][]int{}}
		var l ladder
		for step := range 200 {
			switch n := w.IntN(100); {
			case n < 55:
				w.insert()
			case n < 80:
				w.merge()
			case n < 82:
				w.mutate()
			case n < 83 && w.IntN(3) == 0: // the partition is dropped
				w.take(0, len(w.parts))
			default:
				l = w.climb(l)
				if got, want := l.sum()["t"].Events, len(w.distinct(w.parts)); int(got) != want {
					t.Fatalf("seed %d, step %d: %d keys, want %d; parts %v, rungs %v", seed, step, got, want, w.parts, l.rungs)
				}
				if have := l.parts(); len(have) != len(w.parts) {
					t.Fatalf("seed %d, step %d: %d parts are counted, of %d", seed, step, len(have), len(w.parts))
				}
				for _, p := range w.parts {
					all += int(p.rows)
				}
			}
		}
		full += w.full
		looks += w.looks
	}
	t.Logf("%d times from nothing, %d rows looked up of %d", full, looks, all)
	if looks > all/3 {
		t.Errorf("%d rows were looked up, of %d that were there: hardly anything is remembered", looks, all)
	}
}

// A mutation that is under way when the parts are read does not leave its parts known.
func TestALadderFallsWhereAMutationComesLate(t *testing.T) {
	l := ladder{top: 110, rungs: []rung{{parts: []part{
		{min: 1, max: 100, mutation: 105, hash: 1}, // has been through it
		{min: 103, max: 103, hash: 2},              // not yet
		{min: 110, max: 110, hash: 3},              // later than it
	}}}}
	if stand, rest := l.stand([]part{{min: 1, max: 110, mutation: 105, hash: 4}}); len(stand.rungs) != 0 || len(rest) != 1 {
		t.Errorf("%v still stands", stand.rungs)
	}
	l.rungs[0].parts[1].mutation = 105
	if stand, rest := l.stand([]part{{min: 1, max: 110, mutation: 105, hash: 4}}); len(stand.rungs) != 1 || len(rest) != 0 {
		t.Error("a merge of what is known is unknown")
	}
}
