package credentials

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"leadevents"
	"leadevents/auth"
)

var (
	made    = time.Date(2026, 5, 12, 18, 34, 0, 123e6, time.UTC)
	expires = time.Date(2099, 12, 31, 23, 59, 59, 999e6, time.UTC)
	revoked = time.Date(2026, 6, 1, 0, 0, 0, 1e6, time.UTC)
)

// Run holds a store to what auth.Store promises. open gives an empty one.
func Run(t *testing.T, open func(t *testing.T) auth.Store) {
	t.Run("an empty store has a stamp and no records", func(t *testing.T) {
		s := open(t)
		stamp(t, s)
		same(t, all(t, s), auth.Records{})
	})

	t.Run("what is written is read back, whole and by organization", func(t *testing.T) {
		s := open(t)
		a := records(7, "sieben 'n\\ \"Co\" 🚀")
		b := records(1<<53-1, "b")
		put(t, s, a)
		put(t, s, b)
		same(t, one(t, s, 7), a)
		same(t, one(t, s, 1<<53-1), b)
		same(t, one(t, s, 8), auth.Records{})
		same(t, one(t, s, 0), auth.Records{})
		same(t, all(t, s), auth.Records{
			Organizations: slices.Concat(a.Organizations, b.Organizations),
			APIKeys:       slices.Concat(a.APIKeys, b.APIKeys),
			SigningKeys:   slices.Concat(a.SigningKeys, b.SigningKeys),
			Limits:        slices.Concat(a.Limits, b.Limits),
		})
	})

	t.Run("the higher version holds, in whatever order they are written", func(t *testing.T) {
		s := open(t)
		old := records(7, "old")
		changed := records(7, "changed")
		changed.Organizations[0].AuthMode, changed.Organizations[0].Version = auth.ModeHMAC, 2
		changed.Organizations[0].ReplayTolerance = time.Hour
		changed.APIKeys[0].RevokedAt, changed.APIKeys[0].Version = revoked, 2
		changed.SigningKeys[0].RevokedAt, changed.SigningKeys[0].Version, changed.SigningKeys[0].Sealed = revoked, 2, ""
		changed.Limits[0].Value, changed.Limits[0].Version = auth.Unset, 2
		put(t, s, changed)
		put(t, s, old)
		same(t, one(t, s, 7), changed)
		same(t, all(t, s), changed)
	})

	t.Run("the same record may be written again", func(t *testing.T) {
		s := open(t)
		r := records(7, "again")
		put(t, s, r)
		put(t, s, r)
		same(t, one(t, s, 7), r)
	})

	t.Run("two claims on one organization are both read, a withdrawn one is not", func(t *testing.T) {
		s := open(t)
		first, second := records(7, "first").Organizations[0], records(7, "second").Organizations[0]
		second.Claim++
		put(t, s, auth.Records{Organizations: []auth.Organization{first, second}})
		same(t, one(t, s, 7), auth.Records{Organizations: []auth.Organization{first, second}})
		second.Withdrawn, second.Version = true, 2
		put(t, s, auth.Records{Organizations: []auth.Organization{second}})
		same(t, one(t, s, 7), auth.Records{Organizations: []auth.Organization{first}})
		same(t, all(t, s), auth.Records{Organizations: []auth.Organization{first}})
	})

	t.Run("every write changes the stamp, reading and counting do not", func(t *testing.T) {
		s := open(t)
		r := records(7, "stamp")
		seen := map[uint64]string{stamp(t, s): "empty"}
		for _, w := range []struct {
			name string
			r    auth.Records
		}{
			{"organization", auth.Records{Organizations: r.Organizations}},
			{"API keys", auth.Records{APIKeys: r.APIKeys[:1]}},
			{"another API key", auth.Records{APIKeys: r.APIKeys[1:]}},
			{"signing key", auth.Records{SigningKeys: r.SigningKeys}},
			{"limits", auth.Records{Limits: r.Limits}},
		} {
			put(t, s, w.r)
			now := stamp(t, s)
			if before, ok := seen[now]; ok {
				t.Errorf("the stamp after %s is that of %s", w.name, before)
			}
			seen[now] = w.name
		}
		before := stamp(t, s)
		all(t, s)
		if err := s.AddUses(t.Context(), []auth.Use{{Org: 7, KeyID: r.APIKeys[0].ID, LastUsedAt: made, Uses: 1}}); err != nil {
			t.Fatal(err)
		}
		if now := stamp(t, s); now != before {
			t.Errorf("the stamp went from %d to %d without a change: every process would load all credentials with every use count", before, now)
		}
		// A write with a clock behind everything that is stored.
		k := r.APIKeys[0]
		k.ID, k.Version, k.RevokedAt = "BehindAll1", 1, revoked
		put(t, s, auth.Records{APIKeys: []auth.APIKey{k}})
		if now := stamp(t, s); now == before {
			t.Error("a write with a low version did not change the stamp")
		}
	})

	t.Run("of a data key the higher version holds, and requests are not judged by it", func(t *testing.T) {
		s := open(t)
		before := stamp(t, s)
		old := auth.DataKey{ID: "DataKey001", Sealed: "c2VhbGVk", MasterKeyID: "0f", CreatedAt: made, Version: 1}
		anew := old
		anew.Sealed, anew.MasterKeyID, anew.Version = "YW5ldw==", "1e", 2
		other := auth.DataKey{ID: "DataKey002", Sealed: "b3RoZXI=", MasterKeyID: "0f", CreatedAt: made.Add(time.Hour), Version: 1}
		for _, k := range []auth.DataKey{anew, other, old} {
			if err := s.PutDataKey(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.DataKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, func(a, b auth.DataKey) int { return cmp.Compare(a.ID, b.ID) })
		if diff := gocmp.Diff([]auth.DataKey{anew, other}, got); diff != "" {
			t.Error(diff)
		}
		if stamp(t, s) != before {
			t.Error("a data key changed the stamp")
		}
		same(t, all(t, s), auth.Records{})
	})

	t.Run("uses add up and the last one stays", func(t *testing.T) {
		s := open(t)
		later := made.Add(time.Hour)
		for _, batch := range [][]auth.Use{
			{{Org: 7, KeyID: "a", LastUsedAt: later, Uses: 2}, {Org: 8, KeyID: "a", LastUsedAt: made, Uses: 100}},
			{{Org: 7, KeyID: "a", LastUsedAt: made, Uses: 3}, {Org: 7, KeyID: "b", LastUsedAt: made, Uses: 1}},
			{{Org: 7, KeyID: "b", LastUsedAt: made, Uses: 1}},
			{{Org: 7, KeyID: "b", LastUsedAt: made, Uses: 1}}, // equal to the one before, and not the same
		} {
			if err := s.AddUses(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Uses(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, func(a, b auth.Use) int { return cmp.Compare(a.KeyID, b.KeyID) })
		want := []auth.Use{{Org: 7, KeyID: "a", LastUsedAt: later, Uses: 5}, {Org: 7, KeyID: "b", LastUsedAt: made, Uses: 3}}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func records(org leadevents.OrgID, name string) auth.Records {
	return auth.Records{
		Organizations: []auth.Organization{{ID: org, Name: name, AuthMode: auth.ModeAPIKey, CreatedAt: made, Claim: 1<<64 - 1 - uint64(org), Version: 1}},
		APIKeys: []auth.APIKey{
			{ID: "key1", Org: org, Name: name, SHA256: [32]byte{31: 0, 0: 1}, Scopes: auth.DefaultScopes, CreatedAt: made, Version: 1},
			{ID: "key2", Org: org, Name: "revoked", SHA256: [32]byte{31: 2}, Scopes: auth.Scopes(auth.Admin), CreatedAt: made, ExpiresAt: expires, RevokedAt: revoked, Version: 1<<63 + 5},
		},
		SigningKeys: []auth.SigningKey{{ID: "sign1", Org: org, Name: name, Sealed: strings.Repeat("AQ", 50), MasterKeyID: "0123456789abcdef", CreatedAt: made, Version: 1}},
		Limits: []auth.OrganizationLimit{
			{Org: org, Limit: leadevents.RequestsPerSecond, Value: 100, Version: 1},
			{Org: org, Limit: leadevents.StoredAudiences, Value: 0, Version: 1},
		},
	}
}

func put(t *testing.T, s auth.Store, r auth.Records) {
	t.Helper()
	for _, o := range r.Organizations {
		if err := s.PutOrganization(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range r.APIKeys {
		if err := s.PutAPIKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range r.SigningKeys {
		if err := s.PutSigningKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.Limits) > 0 {
		if err := s.PutLimits(t.Context(), r.Limits); err != nil {
			t.Fatal(err)
		}
	}
}

func stamp(t *testing.T, s auth.Store) uint64 {
	t.Helper()
	n, err := s.Stamp(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func one(t *testing.T, s auth.Store, org leadevents.OrgID) auth.Records {
	t.Helper()
	r, err := s.Load(t.Context(), org)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func all(t *testing.T, s auth.Store) auth.Records {
	t.Helper()
	r, err := s.LoadAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func same(t *testing.T, got, want auth.Records) {
	t.Helper()
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty(),
		cmpopts.SortSlices(func(a, b auth.Organization) bool { return a.Claim < b.Claim }),
		cmpopts.SortSlices(func(a, b auth.APIKey) bool { return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.ID, b.ID)) < 0 }),
		cmpopts.SortSlices(func(a, b auth.SigningKey) bool { return a.Org < b.Org }),
		cmpopts.SortSlices(func(a, b auth.OrganizationLimit) bool {
			return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.Limit, b.Limit)) < 0
		}),
	); diff != "" {
		t.Error("want - got +\n" + diff)
	}
}
