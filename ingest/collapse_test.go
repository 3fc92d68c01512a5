package ingest

import (
	"math/rand/v2"
	"testing"

	"leadevents"
)

// bigCall is n events of one type, most of them distinct.
func bigCall(n int, seed uint64) *Call {
	random := rand.New(rand.NewPCG(seed, 2))
	call := &Call{Org: 1, EventType: "page_view", id: leadevents.BatchID(seed)}
	for range n {
		call.Events = append(call.Events, leadevents.Event{
			Phone: leadevents.Phone(10_000_000_000 + random.Uint64N(90_000_000_000)), OccurredAt: 1_760_000_000_000 + leadevents.Millis(random.IntN(300_000)),
		})
	}
	return call
}

func BenchmarkCollapse50000(b *testing.B) {
	call := bigCall(50_000, 1)
	b.ReportAllocs()
	for b.Loop() {
		(&group{calls: []*Call{call}}).collapse()
	}
}

// A key that repeats is one, whichever calls bring it, and calls of other types are apart.
func TestRepeatedKeysAreOne(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 50 {
		g := &group{}
		for n := range 1 + random.IntN(5) {
			call := &Call{Org: leadevents.OrgID(1 + random.IntN(2)), EventType: []string{"a", "b"}[random.IntN(2)], id: leadevents.BatchID(n + 1)}
			for range random.IntN(200) {
				call.Events = append(call.Events, leadevents.Event{Phone: leadevents.Phone(1 + random.IntN(20)), OccurredAt: leadevents.Millis(random.IntN(10))})
			}
			g.calls = append(g.calls, call)
		}
		g.collapse()
		index := map[leadevents.Key]int32{}
		for c, call := range g.calls {
			mine := map[int32]bool{}
			for r, event := range call.Events {
				key := leadevents.Key{Org: call.Org, EventType: call.EventType, Phone: event.Phone, OccurredAt: event.OccurredAt}
				k, known := index[key]
				if !known {
					k = int32(len(index))
					index[key] = k
					if g.keys[k] != key || g.tokens[k] != call.id || g.events[k].Phone != event.Phone {
						t.Fatalf("key %d is %v of %s, want %v of %s", k, g.keys[k], g.tokens[k], key, call.id)
					}
				}
				want := k
				if mine[k] {
					want = ^k
				}
				mine[k] = true
				if g.rows[c][r] != want {
					t.Fatalf("row %d of call %d is key %d, want %d", r, c, g.rows[c][r], want)
				}
			}
		}
		if len(g.keys) != len(index) {
			t.Fatalf("%d keys, want %d", len(g.keys), len(index))
		}
	}
}

// A full table of keys that all fall on one place still finds each.
func TestPlacesThatCollideAreTold(t *testing.T) {
	p := newPlaces(100)
	for round := range 2 {
		for n := range int32(100) {
			place := p.of(42, func(k int32) bool { return k == n })
			if known := *place != 0; known != (round == 1) || known && *place != n+1 {
				t.Fatalf("round %d: %d is found as %d, known %v", round, n, *place-1, known)
			}
			*place = n + 1
		}
	}
}
