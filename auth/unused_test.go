package auth_test

import (
	"testing"
	"time"

	"leadevents/auth"
	"leadevents/internal/storetest/credentials"
)

const day = 24 * time.Hour

// A list says of which keys nobody would miss anything, and never says it of the
// last one that administers or signs.
func TestWhatIsNotUsedIsSafeToRevoke(t *testing.T) {
	p := newProcess(t, credentials.NewMemory(), auth.Config{UnusedAfter: 90 * day, MasterKeys: masterKeys(t)})
	p.run(t)
	org := p.organization(t, 7)
	used := p.key(t, 7, auth.KeyRequest{Name: "used"})
	idle := p.key(t, 7, auth.KeyRequest{Name: "idle"})
	expired := p.key(t, 7, auth.KeyRequest{Name: "expired", ExpiresAt: p.clock.now().Add(day)})
	revoked := p.key(t, 7, auth.KeyRequest{Name: "revoked"})
	if _, err := p.RevokeKey(t.Context(), 7, revoked.ID, false); err != nil {
		t.Fatal(err)
	}
	signs := p.signingKey(t, 7)

	safe := func() map[string]bool {
		t.Helper()
		keys, err := p.Keys(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, k := range keys {
			found[k.ID] = k.SafeToRevoke
		}
		signing, err := p.SigningKeys(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range signing {
			found[k.ID] = k.SafeToRevoke
		}
		return found
	}
	hold := func(claim string, want map[string]bool) {
		t.Helper()
		for id, got := range safe() {
			if got != want[id] {
				t.Errorf("%s: key %s is safe to revoke: %v, want %v", claim, id, got, want[id])
			}
		}
	}

	hold("all are new", nil)
	p.clock.advance(day)
	hold("one has expired", map[string]bool{expired.ID: true})
	p.clock.advance(88 * day)
	if !p.accepts(t, used.Key) {
		t.Fatal("a good key is refused")
	}
	hold("89 days", map[string]bool{expired.ID: true})
	p.clock.advance(day)
	hold("90 days, one was used the day before", map[string]bool{expired.ID: true, idle.ID: true, signs.ID: true})

	// The last one that is needed is not, until there is another.
	p.mode(t, 7, auth.ModeHMAC)
	hold("in hmac mode", map[string]bool{expired.ID: true, idle.ID: true})
	another, second := p.key(t, 7, auth.KeyRequest{Name: "admin", Scopes: auth.AllScopes}), p.signingKey(t, 7)
	hold("in hmac mode with a second of each", map[string]bool{expired.ID: true, idle.ID: true, org.FirstKey.ID: true, signs.ID: true})
	if _, silenced, err := p.RevokeSigningKey(t.Context(), 7, signs.ID); err != nil || silenced {
		t.Errorf("one of two signing keys: silenced %v, %v", silenced, err)
	}
	if _, err := p.RevokeKey(t.Context(), 7, another.ID, false); err != nil {
		t.Error(err)
	}
	hold("and without them", map[string]bool{expired.ID: true, idle.ID: true})
	if _, silenced, err := p.RevokeSigningKey(t.Context(), 7, second.ID); err != nil || !silenced {
		t.Errorf("the last signing key: silenced %v, %v", silenced, err)
	}
}
