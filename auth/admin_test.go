package auth_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/storetest/credentials"
)

func TestCreateOrganization(t *testing.T) {
	p := started(t, auth.Config{})
	first := p.organization(t, 0)
	if first.ID != 1 || first.AuthMode != auth.ModeAPIKey || first.FirstKey.Scopes != auth.AllScopes || !p.accepts(t, first.FirstKey.Key) {
		t.Errorf("%+v", first)
	}
	p.organization(t, 40)
	if next := p.organization(t, 0); next.ID != 41 {
		t.Errorf("the number after 40 is %d", next.ID)
	}
	for _, c := range []struct {
		claim, name string
		id          leadevents.OrgID
		want, says  string
	}{
		{"an id that is taken", "again", 40, "conflict", "organization 40 exists already"},
		{"no name", "", 50, "invalid_request", "name is missing: 1 to 200 characters"},
		{"a name of space", " \t", 50, "invalid_request", "name is missing"},
		{"201 characters", strings.Repeat("é", 201), 50, "invalid_request", "name has 201 characters, at most 200"},
		{"a line break", "a\nb", 50, "invalid_request", "control character"},
		{"not UTF-8", "a\xff", 50, "invalid_request", "not UTF-8"},
		{"an id beyond 2^53", "big", 1 << 53, "invalid_request", "at most 9007199254740991"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			_, err := p.CreateOrganization(t.Context(), c.name, c.id)
			if outcome(err) != c.want || !strings.Contains(message(err), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := p.CreateOrganization(t.Context(), strings.Repeat("é", 200), 1<<53-1); err != nil {
		t.Errorf("the longest name and the largest id: %v", err)
	}
	all, err := p.Organizations(t.Context())
	if err != nil || len(all) != 4 || all[0].ID != 1 || all[3].ID != 1<<53-1 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := p.CreateOrganization(t.Context(), "none left", 0); outcome(err) != "invalid_request" {
		t.Errorf("after the highest number: %v", err)
	}
	if o, err := p.Organization(t.Context(), 40); err != nil || o.Name != "org 40" {
		t.Errorf("%v, %v", o, err)
	}
	if _, err := p.Organization(t.Context(), 4711); outcome(err) != "not_found" {
		t.Error(err)
	}
}

// Many processes create one id at once, on a store without unique keys. Each call
// takes a random time, which costs nothing in a bubble and mixes their steps.
func TestOneIdNeverHasTwoCreators(t *testing.T) {
	won := 0
	const rounds = 200
	for round := range rounds {
		synctest.Test(t, func(t *testing.T) {
			store := credentials.NewMemory()
			store.Before = func(ctx context.Context, _ string) error {
				return sleepFor(ctx, rand.N(10*time.Millisecond))
			}
			var created atomic.Int64
			var work sync.WaitGroup
			for range 4 {
				p := newProcess(t, store, auth.Config{})
				work.Go(func() {
					_, err := p.CreateOrganization(t.Context(), "racer", 7)
					switch outcome(err) {
					case "ok":
						created.Add(1)
					case "conflict":
					default:
						t.Errorf("round %d: %v", round, err)
					}
				})
			}
			work.Wait()
			n := int(created.Load())
			won += n
			r, err := store.LoadAll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n > 1 || len(r.Organizations) != n || len(r.APIKeys) != n {
				t.Fatalf("round %d: %d creators were told created; %d organizations and %d keys are there", round, n, len(r.Organizations), len(r.APIKeys))
			}
		})
	}
	if won == 0 {
		t.Errorf("none of %d rounds had a creator", rounds)
	}
}

// The worst case by hand: both find the id free, both write, both read, and only
// then does either withdraw. In a bubble, a wait that nobody can end is a failure
// and no hang.
func TestBothCreatorsLoseWhenBothSeeBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := credentials.NewMemory()
		var looked, wrote, read sync.WaitGroup
		for _, step := range []*sync.WaitGroup{&looked, &wrote, &read} {
			step.Add(2)
		}
		var work sync.WaitGroup
		for range 2 {
			p := newProcess(t, &racer{Store: store, looked: &looked, wrote: &wrote, read: &read}, auth.Config{})
			work.Go(func() {
				_, err := p.CreateOrganization(t.Context(), "racer", 7)
				if outcome(err) != "conflict" || !strings.Contains(message(err), "is being created by another process") {
					t.Errorf("got %v", err)
				}
			})
		}
		work.Wait()
		if r, err := store.LoadAll(t.Context()); err != nil || len(r.Organizations)+len(r.APIKeys) != 0 {
			t.Errorf("the losers left %+v, %v", r, err)
		}
		p := newProcess(t, store, auth.Config{})
		if _, err := p.CreateOrganization(t.Context(), "later", 7); err != nil {
			t.Errorf("the id is lost after a race: %v", err)
		}
	})
}

// racer is the store as one of two creators sees it, who go step by step.
type racer struct {
	auth.Store
	looked, wrote, read *sync.WaitGroup
	put                 sync.Once
}

func (r *racer) LoadAll(ctx context.Context) (auth.Records, error) {
	records, err := r.Store.LoadAll(ctx)
	r.looked.Done()
	r.looked.Wait()
	return records, err
}

func (r *racer) PutOrganization(ctx context.Context, o auth.Organization) error {
	defer r.put.Do(r.wrote.Done) // the second write is the withdrawal
	return r.Store.PutOrganization(ctx, o)
}

func (r *racer) Load(ctx context.Context, org leadevents.OrgID) (auth.Records, error) {
	r.wrote.Wait()
	records, err := r.Store.Load(ctx, org)
	r.read.Done()
	r.read.Wait()
	return records, err
}

// Processes that name no id get one each, whatever the race. In a bubble, the
// waits between their attempts end one after the other.
func TestCreatorsWithoutAnIdGetOneEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := credentials.NewMemory()
		ids := make(chan leadevents.OrgID, 3)
		var work sync.WaitGroup
		for range 3 {
			p := newProcess(t, store, auth.Config{})
			work.Go(func() {
				o, err := p.CreateOrganization(t.Context(), "anyone", 0)
				if err != nil {
					t.Error(err)
				}
				ids <- o.ID
			})
		}
		work.Wait()
		close(ids)
		seen := map[leadevents.OrgID]bool{}
		for id := range ids {
			if seen[id] {
				t.Errorf("organization %d was given twice", id)
			}
			seen[id] = true
		}
	})
}

func TestKeys(t *testing.T) {
	p := started(t, auth.Config{})
	org := p.organization(t, 7)
	p.organization(t, 8)
	for _, c := range []struct {
		claim      string
		org        leadevents.OrgID
		r          auth.KeyRequest
		want, says string
	}{
		{"an unknown organization", 9, auth.KeyRequest{Name: "k"}, "not_found", "there is no organization 9"},
		{"no name", 7, auth.KeyRequest{}, "invalid_request", "name is missing"},
		{"an expiry that is past", 7, auth.KeyRequest{Name: "k", ExpiresAt: time.Now().Add(-time.Second)}, "invalid_request", "expiresAt must lie in the future"},
		{"an expiry of now", 7, auth.KeyRequest{Name: "k", ExpiresAt: time.Now()}, "invalid_request", "expiresAt must lie in the future"},
		{"an expiry in 2100", 7, auth.KeyRequest{Name: "k", ExpiresAt: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}, "invalid_request", "before 2100"},
		{"an unknown scope", 7, auth.KeyRequest{Name: "k", Scopes: 64}, "invalid_request", "unknown"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			_, err := p.CreateKey(t.Context(), c.org, c.r)
			if outcome(err) != c.want || !strings.Contains(message(err), c.says) {
				t.Errorf("%v", err)
			}
		})
	}

	second := p.key(t, 7, auth.KeyRequest{Name: "second", Scopes: auth.Scopes(auth.Admin), ExpiresAt: time.Now().Add(time.Hour)})
	plain := p.key(t, 7, auth.KeyRequest{Name: "plain"})
	t.Run("a key of another organization is not found", func(t *testing.T) {
		if _, err := p.RevokeKey(t.Context(), 8, plain.ID, true); outcome(err) != "not_found" {
			t.Error(err)
		}
	})
	t.Run("the last active admin key stays", func(t *testing.T) {
		if _, err := p.RevokeKey(t.Context(), 7, second.ID, false); err != nil {
			t.Fatal(err)
		}
		if _, err := p.RevokeKey(t.Context(), 7, org.FirstKey.ID, false); outcome(err) != "conflict" || !strings.Contains(message(err), "force") {
			t.Error(err)
		}
		if _, err := p.RevokeKey(t.Context(), 7, plain.ID, false); err != nil {
			t.Errorf("a key without admin: %v", err)
		}
		forced, err := p.RevokeKey(t.Context(), 7, org.FirstKey.ID, true)
		if err != nil || forced.RevokedAt.IsZero() || p.accepts(t, org.FirstKey.Key) {
			t.Errorf("by force: %+v, %v", forced, err)
		}
	})
	t.Run("revoking again changes nothing", func(t *testing.T) {
		before, err := p.RevokeKey(t.Context(), 7, plain.ID, false)
		if err != nil {
			t.Fatal(err)
		}
		p.clock.advance(time.Minute)
		after, err := p.RevokeKey(t.Context(), 7, plain.ID, false)
		if err != nil || after != before {
			t.Errorf("%+v, then %+v, %v", before, after, err)
		}
	})
	t.Run("lists show what there is, oldest first, and no key", func(t *testing.T) {
		keys, err := p.Keys(t.Context(), 7)
		if err != nil || len(keys) != 3 {
			t.Fatal(keys, err)
		}
		names := []string{keys[0].Name, keys[1].Name, keys[2].Name}
		slices.Sort(names)
		if !slices.Equal(names, []string{"first key", "plain", "second"}) || !slices.IsSortedFunc(keys, func(a, b auth.APIKey) int { return a.CreatedAt.Compare(b.CreatedAt) }) {
			t.Errorf("%+v", keys)
		}
		if _, err := p.Keys(t.Context(), 9); outcome(err) != "not_found" {
			t.Error(err)
		}
	})
}

func TestAnExpiredAdminKeyIsNoOtherAdminKey(t *testing.T) {
	p := started(t, auth.Config{})
	org := p.organization(t, 7)
	p.key(t, 7, auth.KeyRequest{Scopes: auth.AllScopes, ExpiresAt: p.clock.now().Add(time.Minute)})
	p.clock.advance(time.Hour)
	if _, err := p.RevokeKey(t.Context(), 7, org.FirstKey.ID, false); outcome(err) != "conflict" {
		t.Error(err)
	}
}

func TestSigningKeysAndModes(t *testing.T) {
	p := started(t, auth.Config{MasterKeys: masterKeys(t)})
	p.organization(t, 7)
	if _, err := p.SetAuthMode(t.Context(), 7, auth.ModeHMAC); outcome(err) != "conflict" || !strings.Contains(message(err), "has no active signing key") {
		t.Errorf("hmac without a signing key: %v", err)
	}
	if _, err := p.SetAuthMode(t.Context(), 7, "both"); outcome(err) != "invalid_request" || !strings.Contains(message(err), "api_key or hmac") {
		t.Error(err)
	}
	if _, err := p.SetAuthMode(t.Context(), 9, auth.ModeHMAC); outcome(err) != "not_found" {
		t.Error(err)
	}
	revoked := p.signingKey(t, 7)
	again, _, err := p.RevokeSigningKey(t.Context(), 7, revoked.ID)
	if err != nil || again.Sealed != "" || again.RevokedAt.IsZero() {
		t.Errorf("a revoked signing key keeps its secret: %+v, %v", again, err)
	}
	if _, err := p.SetAuthMode(t.Context(), 7, auth.ModeHMAC); outcome(err) != "conflict" {
		t.Errorf("hmac with only a revoked signing key: %v", err)
	}
	if _, _, err := p.RevokeSigningKey(t.Context(), 7, "nothing"); outcome(err) != "not_found" {
		t.Error(err)
	}
	other := newProcess(t, p.store, auth.Config{MasterKeys: masterKeys(t, strings.Repeat("aa", 32))})
	p.signingKey(t, 7)
	if _, err := other.SetAuthMode(t.Context(), 7, auth.ModeHMAC); outcome(err) != "conflict" || !strings.Contains(message(err), "master_key") {
		t.Errorf("hmac by a server that cannot decrypt the signing key: %v", err)
	}
	if o, err := p.SetAuthMode(t.Context(), 7, auth.ModeHMAC); err != nil || o.AuthMode != auth.ModeHMAC {
		t.Errorf("%+v, %v", o, err)
	}
	for range auth.MaxActiveSigningKeys - 1 {
		p.signingKey(t, 7)
	}
	if _, err := p.CreateSigningKey(t.Context(), 7, "one too many"); outcome(err) != "conflict" || !strings.Contains(message(err), "5 active signing keys") {
		t.Error(err)
	}
	keys, err := p.SigningKeys(t.Context(), 7)
	if err != nil || len(keys) != auth.MaxActiveSigningKeys+1 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if o, err := p.SetAuthMode(t.Context(), 7, auth.ModeAPIKey); err != nil || o.AuthMode != auth.ModeAPIKey {
		t.Errorf("%+v, %v", o, err)
	}
	without := newProcess(t, p.store, auth.Config{})
	without.organization(t, 8)
	if _, err := without.CreateSigningKey(t.Context(), 8, "k"); outcome(err) != "conflict" || !strings.Contains(message(err), "LEADEVENTS_MASTER_KEY") {
		t.Errorf("without a master key: %v", err)
	}
}

func TestUsesAreCountedInBatchesAndListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := credentials.NewMemory()
		var fail atomic.Bool
		store.Before = func(_ context.Context, method string) error {
			if method == "AddUses" && fail.Load() {
				return errors.New("down")
			}
			return nil
		}
		p := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t)})
		stop := p.run(t)
		p.organization(t, 7)
		used, unused := p.key(t, 7, auth.KeyRequest{Name: "used"}), p.key(t, 7, auth.KeyRequest{Name: "unused"})
		signing := p.signingKey(t, 7)
		began := time.Now()
		for range 1000 {
			p.accepts(t, used.Key)
			time.Sleep(time.Millisecond)
		}
		last := time.Now().Add(-time.Millisecond).UTC()
		_, _ = p.Key(t.Context(), header(used.Key), auth.Admin) // forbidden, and a use: somebody has the key
		last = last.Add(time.Millisecond)
		p.mode(t, 7, auth.ModeHMAC)
		if _, err := p.Webhook(t.Context(), auth.Webhook{Signature: auth.Sign(signing.Secret, nil), Organization: func() (leadevents.OrgID, bool) { return 7, true }}); err != nil {
			t.Fatal(err)
		}

		check := func(claim string) {
			t.Helper()
			keys, err := p.Keys(t.Context(), 7)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range keys {
				switch k.ID {
				case used.ID:
					if k.Uses != 1001 || !k.LastUsedAt.Equal(last.Truncate(time.Millisecond)) {
						t.Errorf("%s: %d uses, the last at %s, want 1001 and %s", claim, k.Uses, k.LastUsedAt, last)
					}
				case unused.ID:
					if k.Uses != 0 || !k.LastUsedAt.IsZero() {
						t.Errorf("%s: the unused key was used: %+v", claim, k)
					}
				}
			}
			signs, err := p.SigningKeys(t.Context(), 7)
			if err != nil || signs[0].Uses != 1 || signs[0].LastUsedAt.Before(began) {
				t.Errorf("%s: signing keys %+v, %v", claim, signs, err)
			}
		}
		if n := store.Calls("AddUses"); n != 0 {
			t.Errorf("written %d times within the flush interval", n)
		}
		check("before the flush")
		fail.Store(true)
		time.Sleep(12 * time.Second)
		check("after a failed flush")
		fail.Store(false)
		time.Sleep(10 * time.Second)
		check("after the flush")
		p.accepts(t, used.Key) // in hmac mode a key still works for everything but webhooks
		last = time.Now().UTC()
		stop()
		uses, err := store.Uses(t.Context(), 7)
		if err != nil || !slices.Contains(uses, auth.Use{Org: 7, KeyID: used.ID, Uses: 1002, LastUsedAt: last.Truncate(time.Millisecond)}) {
			t.Errorf("after the stop: %+v, %v", uses, err)
		}
	})
}

func TestAWriteOfUnknownOutcomeSaysSo(t *testing.T) {
	p := started(t, auth.Config{})
	p.organization(t, 7)
	lost := &lossy{Store: p.store}
	q := newProcess(t, lost, auth.Config{})
	lost.fail.Store(1)
	k, err := q.CreateKey(t.Context(), 7, auth.KeyRequest{Name: "k"})
	if err != nil {
		t.Fatalf("one lost reply: %v", err)
	}
	if keys, _ := q.Keys(t.Context(), 7); len(keys) != 2 {
		t.Errorf("the resent key is there %d times", len(keys)-1)
	}
	lost.fail.Store(99)
	if _, err := q.RevokeKey(t.Context(), 7, k.ID, false); outcome(err) != "unavailable" || !strings.Contains(message(err), "may or may not have been stored") {
		t.Error(err)
	}
}

// lossy writes, and loses the replies.
type lossy struct {
	auth.Store
	fail atomic.Int64
}

func (l *lossy) PutAPIKey(ctx context.Context, k auth.APIKey) error {
	if err := l.Store.PutAPIKey(ctx, k); err != nil {
		return err
	}
	if l.fail.Add(-1) >= 0 {
		return errors.New("connection reset")
	}
	return nil
}
