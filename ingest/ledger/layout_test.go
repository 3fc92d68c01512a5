package ledger

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"leadevents"
)

func testLayout(width, bits uint) layout {
	return layout{prefix: "p:k1", width: width, bits: bits, horizon: leadevents.Millis((72 * time.Hour).Milliseconds())}
}

// Every key has a place of its own: no two share bucket and field, and the same
// key comes to the same place however it is called with others.
func TestEveryKeyHasAPlaceOfItsOwn(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	types := []string{"a", "A", "a:1", "1:a", "", "0", ":", "a:", strings.Repeat("é", 128), "nul\x00"}
	for _, shape := range []struct {
		width, bits uint
		old         leadevents.Millis
	}{{10, 0, 0}, {26, 3, 0}, {28, 12, 0}, {10, 12, 1_700_000_001_234}, {26, 3, 1_700_000_001_234}, {28, 3, 1_700_000_001_234}, {26, 3, EveryMoment}} {
		l := testLayout(shape.width, shape.bits)
		l.old = shape.old
		keys := make([]leadevents.Key, 0, 20_000)
		have := map[leadevents.Key]bool{}
		for len(keys) < cap(keys) {
			key := leadevents.Key{
				Org: leadevents.OrgID(1 + random.IntN(3)), EventType: types[random.IntN(len(types))],
				Phone:      leadevents.Phone(1 + random.Uint64N(40)*random.Uint64N(40_000_000_000)),
				OccurredAt: leadevents.Millis(random.Int64N(int64(leadevents.MaxOccurredAt) + 1)),
			}
			if random.IntN(2) == 0 { // close to another
				key.OccurredAt = 1_700_000_000_000 + leadevents.Millis(random.IntN(3000))
			}
			if !have[key] {
				have[key], keys = true, append(keys, key)
			}
		}
		type place struct{ bucket, field string }
		taken := map[place]leadevents.Key{}
		p := l.plan(keys, 1000)
		n := 0
		for _, b := range p.buckets {
			if b.end-b.start > 1000 || b.end <= b.start {
				t.Fatalf("a piece of %d keys", b.end-b.start)
			}
			for i := b.start; i < b.end; i++ {
				key := keys[p.order[i]]
				at := place{b.name, p.field(i)}
				if other, ok := taken[at]; ok {
					t.Fatalf("%v and %v share %q", key, other, at)
				}
				taken[at] = key
				n++
				if back, ok := l.keyOf(b.name, at.field); !ok || back != key {
					t.Fatalf("%q reads as %v, it is %v", at, back, key)
				}
				if org, sub := ownerIn(t, l, b.name); org != key.Org || sub != anySub && sub != strconv.FormatUint(l.sub(key.Phone), 36) {
					t.Fatalf("%q is looked at for organization %d and share %s", b.name, org, sub)
				}
				if key.OccurredAt < l.old && b.expiry > l.old+l.horizon {
					t.Fatalf("%v stays until %d, and its like until %d at most", key, b.expiry, l.old+l.horizon)
				}
				if b.expiry < key.OccurredAt+l.horizon {
					t.Fatalf("%v may be forgotten at %d, before %d", key, b.expiry, key.OccurredAt+l.horizon)
				}
				if alone := l.plan([]leadevents.Key{key}, 1000); alone.buckets[0].name != b.name || alone.field(0) != at.field || alone.buckets[0].expiry != b.expiry {
					t.Fatalf("%v alone comes to %q, with others to %q", key, alone.buckets[0].name, b.name)
				}
			}
		}
		if n != len(keys) {
			t.Fatalf("%d of %d keys have a place", n, len(keys))
		}
	}
}

// ownerIn is whom [Ledger.Forget] takes a bucket for.
func ownerIn(t *testing.T, l layout, name string) (leadevents.OrgID, string) {
	t.Helper()
	era, org, sub, ok := ownerOf(strings.TrimPrefix(name, "p:k"))
	if !ok || "p:k"+era != l.prefix {
		t.Fatalf("%q reads as of era %q", name, era)
	}
	return org, sub
}

// A call of history over ten years and ten types meets few buckets: one by one they cost
// Redis as much as plain keys.
func TestHistoryLiesInFewBuckets(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const began = leadevents.Millis(1_700_000_000_000)
	keys := make([]leadevents.Key, 50_000)
	for i := range keys {
		keys[i] = leadevents.Key{
			Org: 1, EventType: "type " + strconv.Itoa(random.IntN(10)), Phone: leadevents.Phone(10_000_000_000 + random.Uint64N(90_000_000_000)),
			OccurredAt: began - leadevents.Millis(random.Int64N((10 * 365 * 24 * time.Hour).Milliseconds())),
		}
	}
	l := testLayout(26, 3)
	before := len(l.plan(keys, 1000).buckets)
	l.old = began
	if after := len(l.plan(keys, 1000).buckets); after > before/4 || after > 12_000 {
		t.Fatalf("%d buckets, %d in slots as live events have them", after, before)
	}
}

// What lies in another era, or another deployment, is not this one's.
func TestBucketsOfErasAndPrefixesDiffer(t *testing.T) {
	key := []leadevents.Key{{Org: 1, EventType: "t", Phone: 15551234567, OccurredAt: 1}}
	names := map[string]bool{}
	for _, prefix := range []string{"k1", "k2", "k11", "a:k1", "b:k1"} {
		l := testLayout(22, 6)
		l.prefix = prefix
		names[l.plan(key, 10).buckets[0].name] = true
	}
	if len(names) != 5 {
		t.Fatalf("five ledgers share buckets: %v", names)
	}
}

func TestTokensAndClaimsAreToldApart(t *testing.T) {
	for range 1000 {
		id := leadevents.NewBatchID()
		if got := owner(token(id)); got != id {
			t.Fatalf("token of %s reads as %s", id, got)
		}
		claims := "c" + token(id) + "c" + token(id+1)
		if owner(claims) != 0 || owner("c"+token(id)) != 0 {
			t.Fatal("a claim reads as an owner")
		}
		if got := claimants(claims); len(got) != 2 || got[0] != id || got[1] != id+1 {
			t.Fatalf("claims of %s read as %v", id, got)
		}
		sealed := claims + token(id+2)
		if got := claimants(sealed); owner(sealed) != id+2 || len(got) != 2 || got[1] != id+1 {
			t.Fatalf("a sealed value reads as %s, %v", owner(sealed), got)
		}
	}
}

func BenchmarkPlan50000(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	keys := make([]leadevents.Key, 50_000)
	for i := range keys {
		keys[i] = leadevents.Key{Org: 42, EventType: "webinar_attended", Phone: leadevents.Phone(10_000_000_000 + random.Uint64N(90_000_000_000)), OccurredAt: 1_760_000_000_000 + leadevents.Millis(random.IntN(600_000))}
	}
	l := testLayout(26, 3)
	b.ReportAllocs()
	for b.Loop() {
		l.plan(keys, 1000)
	}
}
