package auth_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/storetest/credentials"
)

// The master keys of rotations.
var (
	oldKey = strings.Repeat("0f", 32)
	newKey = strings.Repeat("1e", 32)
	lost   = strings.Repeat("2d", 32)
)

// underOldKey is a store with organizations 1 to n, each in hmac mode, and what they
// sign with.
func underOldKey(t *testing.T, n leadevents.OrgID) (store *credentials.Memory, secrets map[leadevents.OrgID]auth.NewSigningKey) {
	store, secrets = credentials.NewMemory(), map[leadevents.OrgID]auth.NewSigningKey{}
	p := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, oldKey)})
	for org := leadevents.OrgID(1); org <= n; org++ {
		p.organization(t, org)
		secrets[org] = p.signingKey(t, org)
		p.mode(t, org, auth.ModeHMAC)
	}
	return store, secrets
}

// verifies is how the signature of an organization is judged by a process that starts
// now with these master keys.
func verifies(t *testing.T, store auth.Store, org leadevents.OrgID, secret auth.Secret, keys ...string) string {
	t.Helper()
	p := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, keys...)})
	defer p.run(t)()
	body := []byte(`{}`)
	_, err := p.Webhook(t.Context(), auth.Webhook{Signature: auth.Sign(secret, body), Body: body,
		Organization: func() (leadevents.OrgID, bool) { return org, true }})
	return outcome(err)
}

func TestTheMasterKeyIsRotated(t *testing.T) {
	store, secrets := underOldKey(t, 3)
	p := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, newKey, oldKey)})
	young := p.signingKey(t, 3) // made under the new key meanwhile
	gone := secrets[2]
	if _, _, err := p.RevokeSigningKey(t.Context(), 2, gone.ID); err != nil {
		t.Fatal(err)
	}
	// Revoked, and by whatever way its secret is still there.
	kept := gone.SigningKey
	kept.RevokedAt, kept.Version = time.Now(), kept.Version+1_000_000_000
	if err := store.PutSigningKey(t.Context(), kept); err != nil {
		t.Fatal(err)
	}

	puts := store.Calls("PutSigningKey")
	use, err := p.ExamineMasterKeys(t.Context())
	if err != nil || use.Secrets != 4 || use.Current != 1 || use.Old != 3 || !use.Readable || store.Calls("PutSigningKey") != puts {
		t.Errorf("examined: %+v, %v", use, err)
	}
	before, after, err := p.RotateMasterKey(t.Context())
	if err != nil || before.Old != 3 || after.Old != 0 || after.Current != 4 || after.Secrets != 4 {
		t.Fatalf("%+v, then %+v, %v", before, after, err)
	}
	if n := store.Calls("PutSigningKey") - puts; n != 3 {
		t.Errorf("%d records were written", n)
	}
	for _, keys := range [][]string{{newKey}, {newKey, oldKey}, {oldKey, newKey}} {
		for org, secret := range map[leadevents.OrgID]auth.Secret{1: secrets[1].Secret, 3: secrets[3].Secret} {
			if got := verifies(t, store, org, secret, keys...); got != "ok" {
				t.Errorf("organization %d, %d keys: %s", org, len(keys), got)
			}
		}
		if got := verifies(t, store, 3, young.Secret, keys...); got != "ok" {
			t.Errorf("the key of meanwhile: %s", got)
		}
	}
	if got := verifies(t, store, 2, gone.Secret, newKey); got != "unauthenticated" {
		t.Errorf("a revoked signing key after the rotation: %s", got)
	}
	if got := verifies(t, store, 1, secrets[1].Secret, oldKey); got != "unavailable" {
		t.Errorf("the old key decrypts what is under the new one: %s", got)
	}
	// Again it changes nothing.
	puts = store.Calls("PutSigningKey")
	if _, after, err := p.RotateMasterKey(t.Context()); err != nil || after.Current != 4 || store.Calls("PutSigningKey") != puts {
		t.Errorf("again: %+v, %v", after, err)
	}
}

// One secret that cannot be decrypted, and nothing is changed.
func TestARotationWithTheWrongOldKeyChangesNothing(t *testing.T) {
	store, secrets := underOldKey(t, 5)
	puts := store.Calls("PutSigningKey")
	for _, keys := range [][]string{{newKey, lost}, {newKey}} {
		p := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, keys...)})
		before, _, err := p.RotateMasterKey(t.Context())
		if outcome(err) != "conflict" || !strings.Contains(message(err), "nothing was changed: 5 of 5 signing secrets cannot be decrypted") || len(before.Unreadable) != 5 ||
			!strings.Contains(message(err), "which is not in the settings") || !strings.Contains(message(err), "and 2 more") {
			t.Errorf("%v", err)
		}
		for _, key := range []string{oldKey, newKey, lost} {
			if strings.Contains(message(err)+p.log.String(), key) {
				t.Error("a master key is told")
			}
		}
	}
	without := newProcess(t, store, auth.Config{})
	if _, _, err := without.RotateMasterKey(t.Context()); outcome(err) != "conflict" || !strings.Contains(message(err), "LEADEVENTS_MASTER_KEY") {
		t.Errorf("without a master key: %v", err)
	}
	if n := store.Calls("PutSigningKey"); n != puts {
		t.Errorf("%d records were written", n-puts)
	}
	if got := verifies(t, store, 1, secrets[1].Secret, oldKey); got != "ok" {
		t.Error(got)
	}
}

// Interrupted between any two records: every server that has both keys goes on, and
// another run ends it.
func TestARotationIsInterruptedAnywhere(t *testing.T) {
	const n = 4
	for left := range n {
		store, secrets := underOldKey(t, n)
		var writes atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		store.Before = func(_ context.Context, method string) error {
			if method == "PutSigningKey" && writes.Add(1) > int64(left) {
				cancel()
				return errors.New("killed")
			}
			return nil
		}
		p := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, newKey, oldKey)})
		before, after, err := p.RotateMasterKey(ctx)
		store.Before = nil
		if outcome(err) != "unavailable" || !strings.Contains(message(err), "run it again") || before.Old != n || after.Old != n-left {
			t.Fatalf("after %d: %+v, then %+v, %v", left, before, after, err)
		}
		for org := leadevents.OrgID(1); org <= n; org++ {
			for _, keys := range [][]string{{newKey, oldKey}, {oldKey, newKey}} {
				if got := verifies(t, store, org, secrets[org].Secret, keys...); got != "ok" {
					t.Errorf("after %d records, organization %d: %s", left, org, got)
				}
			}
		}
		if _, after, err := p.RotateMasterKey(t.Context()); err != nil || after.Current != n {
			t.Errorf("again after %d: %+v, %v", left, after, err)
		}
	}
}

// A key that is revoked while its record is written again stays revoked, whichever is
// written last, also by a process whose clock is behind.
func TestARevocationDuringARotationHolds(t *testing.T) {
	for _, behind := range []time.Duration{0, time.Hour} {
		store, secrets := underOldKey(t, 1)
		revoker := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, oldKey, newKey)})
		revoker.clock.advance(-behind)
		var once atomic.Bool
		store.Before = func(_ context.Context, method string) error {
			if method == "PutSigningKey" && once.CompareAndSwap(false, true) {
				_, _, err := revoker.RevokeSigningKey(t.Context(), 1, secrets[1].ID) // and then the rotation writes what it read before
				return err
			}
			return nil
		}
		p := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, newKey, oldKey)})
		if _, after, err := p.RotateMasterKey(t.Context()); err != nil || after.Secrets != 0 {
			t.Errorf("%+v, %v", after, err)
		}
		store.Before = nil
		if got := verifies(t, store, 1, secrets[1].Secret, newKey); got != "unauthenticated" {
			t.Errorf("the revoker's clock %s behind: the revoked key is judged %s", behind, got)
		}
	}
}

// A server that was forgotten goes on making secrets under the old key: it is told.
func TestARotationSaysThatAServerHasOlderSettings(t *testing.T) {
	store, _ := underOldKey(t, 2)
	forgotten := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, oldKey, newKey)})
	var once atomic.Bool
	store.Before = func(_ context.Context, method string) error {
		if method == "PutSigningKey" && once.CompareAndSwap(false, true) {
			_, err := forgotten.CreateSigningKey(t.Context(), 2, "meanwhile")
			return err
		}
		return nil
	}
	p := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, newKey, oldKey)})
	if _, after, err := p.RotateMasterKey(t.Context()); outcome(err) != "conflict" || after.Old != 1 || !strings.Contains(message(err), "give every server the new one") {
		t.Errorf("%+v, %v", after, err)
	}
	if _, after, err := p.RotateMasterKey(t.Context()); err != nil || after.Old != 0 || after.Current != 3 {
		t.Errorf("%+v, %v", after, err)
	}
}
