package journal_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/snapshot"
	"leadevents/journal"
)

// shelf is what Erased asks for, in memory.
type shelf struct {
	journal.Store
	stamps map[leadevents.OrgID]uint64
	hashes map[leadevents.OrgID][]journal.Hash
	loads  atomic.Int64
	away   atomic.Bool
	keys   []auth.PlainDataKey
}

func (s *shelf) ErasedStamps(context.Context) (map[leadevents.OrgID]uint64, error) {
	if s.away.Load() {
		return nil, errors.New("away")
	}
	return s.stamps, nil
}

func (s *shelf) ErasedHashes(_ context.Context, org leadevents.OrgID) ([]journal.Hash, error) {
	s.loads.Add(1)
	return s.hashes[org], nil
}

func (s *shelf) DataKeys(context.Context) ([]auth.PlainDataKey, error) { return s.keys, nil }

func (s *shelf) MakeDataKey(context.Context) ([]auth.PlainDataKey, error) { return s.keys, nil }

// erase adds leads of an organization, under one of the keys.
func (s *shelf) erase(t testing.TB, org leadevents.OrgID, key int, phones ...leadevents.Phone) {
	t.Helper()
	k, err := journal.NewKey(s.keys[key].ID, s.keys[key].Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range phones {
		s.hashes[org] = append(s.hashes[org], k.Hash(org, p))
	}
	s.stamps[org]++
}

func newShelf() *shelf {
	return &shelf{
		stamps: map[leadevents.OrgID]uint64{}, hashes: map[leadevents.OrgID][]journal.Hash{},
		keys: []auth.PlainDataKey{{ID: "a", Key: make([]byte, 32)}, {ID: "b", Key: append(make([]byte, 31), 1)}},
	}
}

func TestAnErasedLeadIsKnownInItsOrganizationAlone(t *testing.T) {
	s := newShelf()
	s.erase(t, ours, 0, lead)
	s.erase(t, ours, 1, 15550000001) // by a process that made a key at the same moment
	s.erase(t, theirs, 0, other)
	e := journal.NewErased(snapshot.Config{}, s, s)
	for _, c := range []struct {
		org   leadevents.OrgID
		phone leadevents.Phone
		want  bool
	}{
		{ours, lead, true}, {ours, 15550000001, true}, {ours, other, false}, {ours, 15550000002, false},
		{theirs, lead, false}, {theirs, other, true}, {44, lead, false},
	} {
		p, err := e.Probe(t.Context(), c.org)
		if err != nil || p.Has(c.phone) != c.want {
			t.Errorf("organization %d, %d: %t, %v", c.org, c.phone, p.Has(c.phone), err)
		}
		if (p == nil) != (c.org == 44) {
			t.Errorf("organization %d has a probe: %t", c.org, p != nil)
		}
	}
}

// Two leads with one sieve, and one that has it by chance, are told apart by their sums.
func TestEqualSievesAreToldApart(t *testing.T) {
	s := newShelf()
	k, err := journal.NewKey("a", s.keys[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	a, b, chance := k.Hash(ours, lead), k.Hash(ours, other), k.Hash(ours, 15550000003)
	b.Sieve, chance.Sum = a.Sieve, a.Sum
	s.hashes[ours], s.stamps[ours] = []journal.Hash{b, a, chance, a}, 1
	p, err := journal.NewErased(snapshot.Config{}, s, s).Probe(t.Context(), ours)
	if err != nil || !p.Has(lead) || p.Has(15550000003) || p.Has(15550000004) {
		t.Errorf("%t %t %t, %v", p.Has(lead), p.Has(15550000003), p.Has(15550000004), err)
	}
}

// A change is known within two seconds, only what has changed is read, and where nobody
// can say who is erased the answer is no.
func TestWhoIsErasedIsFollowedOrRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		s.erase(t, ours, 0, lead)
		s.erase(t, theirs, 0, other)
		e := journal.NewErased(snapshot.Config{}, s, s)
		has := func(want bool) {
			t.Helper()
			if p, err := e.Probe(t.Context(), ours); err != nil || p.Has(other) != want {
				t.Errorf("%t, %v; want %t", p.Has(other), err, want)
			}
		}
		has(false)
		s.erase(t, ours, 0, other)
		time.Sleep(2 * time.Second)
		has(true)
		if n := s.loads.Load(); n != 3 {
			t.Errorf("%d organizations were read", n)
		}
		s.hashes[ours], s.stamps[ours] = s.hashes[ours][:1], s.stamps[ours]+1 // allowed again, here
		e.Notify()
		has(false)
		s.away.Store(true)
		time.Sleep(1900 * time.Millisecond)
		has(false)
		time.Sleep(200 * time.Millisecond)
		if p, err := e.Probe(t.Context(), ours); leadevents.KindOf(err) != leadevents.Unavailable {
			t.Errorf("%v, %v", p, err)
		}
		s.away.Store(false)
		has(false)
		s.hashes[ours], s.stamps[ours] = append(s.hashes[ours], journal.Hash{KeyID: "lost"}), 9
		e.Notify()
		if p, err := e.Probe(t.Context(), ours); leadevents.KindOf(err) != leadevents.Unavailable {
			t.Errorf("under a key that nobody has: %v, %v", p, err)
		}
	})
}

func TestAHashSaysNothingWithoutItsKey(t *testing.T) {
	s := newShelf()
	seen := map[string]bool{}
	for _, key := range s.keys {
		k, err := journal.NewKey(key.ID, key.Key)
		if err != nil {
			t.Fatal(err)
		}
		for _, org := range []leadevents.OrgID{ours, theirs} {
			for _, p := range []leadevents.Phone{lead, other} {
				h := k.Hash(org, p)
				if h != k.Hash(org, p) || len(h.Name()) != 16 || seen[h.Name()] {
					t.Errorf("%d, %d: %+v", org, p, h)
				}
				seen[h.Name()] = true
			}
		}
	}
}

// What 50,000 events of one call cost an organization that has erased leads.
func BenchmarkProbe(b *testing.B) {
	for name, n := range map[string]int{"nobody": 0, "1 lead": 1, "10,000 leads": 10_000, "1,000,000 leads": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			s := newShelf()
			var phones []leadevents.Phone
			for i := range n {
				phones = append(phones, leadevents.Phone(19_990_000_000+i))
			}
			if n > 0 {
				s.erase(b, ours, 0, phones...)
			}
			e := journal.NewErased(snapshot.Config{}, s, s)
			if _, err := e.Probe(b.Context(), ours); err != nil {
				b.Fatal(err)
			}
			hits := 0
			for b.Loop() {
				p, err := e.Probe(b.Context(), ours)
				if err != nil {
					b.Fatal(err)
				}
				if p == nil {
					continue
				}
				for i := range 50_000 {
					if p.Has(leadevents.Phone(15_550_000_000 + i*7919)) {
						hits++
					}
				}
			}
			if hits > 0 {
				b.Errorf("%d hits", hits)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50_000, "ns/event")
		})
	}
}
