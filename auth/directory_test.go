package auth_test

import (
	"context"
	"errors"
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

func TestMemoryStore(t *testing.T) {
	credentials.Run(t, func(*testing.T) auth.Store { return credentials.NewMemory() })
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []struct {
		claim string
		cfg   auth.Config
		want  string
	}{
		{"negative", auth.Config{MaxWait: -1}, "is negative"},
		{"polling slower than the longest staleness", auth.Config{RefreshInterval: 3 * time.Second}, "must not exceed the longest staleness (2s)"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			if _, err := auth.New(c.cfg, credentials.NewMemory(), time.Now, nil, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
		})
	}
}

func TestACreatedKeyWorksAtOnceInItsProcess(t *testing.T) {
	p := started(t, auth.Config{RefreshInterval: time.Hour, MaxStaleness: time.Hour}) // polling cannot help
	p.organization(t, 7)
	for range 20 {
		k := p.key(t, 7, auth.KeyRequest{})
		if !p.accepts(t, k.Key) {
			t.Fatal("a created key is refused")
		}
		if _, err := p.RevokeKey(t.Context(), 7, k.ID, false); err != nil {
			t.Fatal(err)
		}
		if p.accepts(t, k.Key) {
			t.Fatal("a revoked key is accepted")
		}
	}
}

// The first thing a new user does: make a key with the command, and send with it.
func TestAKeyMadeElsewhereWorksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := started(t, auth.Config{})
		there := newProcess(t, here.store, auth.Config{RefreshInterval: time.Hour, MaxStaleness: time.Hour})
		there.run(t)
		here.organization(t, 7)
		for range 5 {
			time.Sleep(time.Second)
			k := here.key(t, 7, auth.KeyRequest{})
			if !there.accepts(t, k.Key) {
				t.Fatal("a key made elsewhere a moment ago is refused")
			}
		}
	})
}

// Invented keys, well-formed, do not reach the store one by one.
func TestAFloodOfUnknownKeysHardlyReachesTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := credentials.NewMemory()
		p := newProcess(t, store, auth.Config{RefreshInterval: time.Hour, MaxStaleness: time.Hour})
		p.run(t)
		other := started(t, auth.Config{})
		other.organization(t, 7)
		unknown := other.key(t, 7, auth.KeyRequest{}).Key
		time.Sleep(time.Second)
		before := store.Calls("Stamp")
		var flood sync.WaitGroup
		for range 1000 {
			time.Sleep(time.Millisecond)
			flood.Go(func() {
				if p.accepts(t, unknown) {
					t.Error("an unknown key is accepted")
				}
			})
		}
		flood.Wait()
		if asked := store.Calls("Stamp") - before; asked > 25 { // ten rounds, each of which may meet one that was under way
			t.Errorf("1000 unknown keys within a second asked the store %d times", asked)
		}
	})
}

// Promise: within 2 seconds everywhere, by polling alone.
func TestARevocationHoldsEverywhereWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := started(t, auth.Config{})
		there := newProcess(t, here.store, auth.Config{})
		there.run(t)
		here.organization(t, 7)
		k := here.key(t, 7, auth.KeyRequest{})
		waited := until(t, func() bool { return there.accepts(t, k.Key) })
		if waited > 2*time.Second {
			t.Errorf("a created key worked elsewhere after %s", waited)
		}
		if _, err := here.RevokeKey(t.Context(), 7, k.ID, false); err != nil {
			t.Fatal(err)
		}
		waited = until(t, func() bool { return !there.accepts(t, k.Key) })
		if waited > 500*time.Millisecond+10*time.Millisecond { // and until's own steps
			t.Errorf("a revoked key was accepted elsewhere for %s, longer than the refresh interval", waited)
		}
	})
}

// The harder half: the other process cannot read its store any more. It must not
// go on accepting on what it knows.
func TestARevocationHoldsWithinTwoSecondsWhenTheStoreIsGone(t *testing.T) {
	for _, c := range []struct {
		claim string
		fault func(ctx context.Context) error
	}{
		{"refused", func(context.Context) error { return errors.New("connection refused") }},
		{"silent", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
	} {
		t.Run(c.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here := started(t, auth.Config{})
				cut := &cutStore{Store: here.store, fault: c.fault}
				there := newProcess(t, cut, auth.Config{})
				there.run(t)
				here.organization(t, 7)
				k := here.key(t, 7, auth.KeyRequest{})
				until(t, func() bool { return there.accepts(t, k.Key) })

				cut.off.Store(true)
				if _, err := here.RevokeKey(t.Context(), 7, k.ID, false); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				var err error
				for err == nil {
					_, err = there.Key(t.Context(), header(k.Key), auth.Query)
					if time.Since(began) > 2*time.Second && err == nil {
						t.Fatalf("accepted %s after the revocation", time.Since(began))
					}
					time.Sleep(10 * time.Millisecond)
				}
				if outcome(err) != "unavailable" || strings.Contains(message(err), "refused") {
					t.Errorf("got %v", err)
				}
				// What needs no store is answered without one.
				if _, err := there.Key(t.Context(), "", auth.Query); outcome(err) != "unauthenticated" {
					t.Error(err)
				}
				cut.off.Store(false)
				until(t, func() bool {
					_, err := there.Key(t.Context(), header(k.Key), auth.Query)
					return outcome(err) == "unauthenticated"
				})
				if !strings.Contains(there.log.String(), "credentials could not be refreshed") {
					t.Errorf("nothing was logged: %s", there.log)
				}
			})
		})
	}
}

func TestNeverLoadedIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := credentials.NewMemory()
		p := newProcess(t, &cutStore{Store: store, fault: func(context.Context) error { return errors.New("down") }, down: true}, auth.Config{})
		p.run(t)
		began := time.Now()
		for _, call := range []func() error{
			func() error {
				_, err := p.Key(t.Context(), "Bearer le_7Kc9QmPxRt_8sYd2mUoQ1vZJw5nH7kR3bTg9xCf4pLeAqNtXyWzVuKj76X3P9", auth.Query)
				return err
			},
			func() error {
				_, err := p.Webhook(t.Context(), auth.Webhook{Signature: "sha256=", Organization: func() (leadevents.OrgID, bool) { return 7, true }})
				return err
			},
		} {
			if err := call(); outcome(err) != "unavailable" {
				t.Error(err)
			}
		}
		if took := time.Since(began); took > 2*time.Second+100*time.Millisecond {
			t.Errorf("two requests waited %s, a second each is the bound", took)
		}
		if calls := store.Calls("Stamp"); calls > 25 {
			t.Errorf("the store that is down was asked %d times in two seconds", calls)
		}
	})
}

func TestASlowStoreCostsTimeNotErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := credentials.NewMemory()
		// 0.9 s an answer: every snapshot is nearly a second old when it is new.
		store.Before = func(ctx context.Context, _ string) error { return sleepFor(ctx, 900*time.Millisecond) }
		p := newProcess(t, store, auth.Config{})
		p.run(t)
		p.organization(t, 7)
		k := p.key(t, 7, auth.KeyRequest{})
		time.Sleep(3 * time.Second)
		for range 500 {
			if !p.accepts(t, k.Key) {
				t.Fatal("refused")
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
}

func TestAnIdleProcessAsksNothingAndTheFirstRequestIsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := credentials.NewMemory()
		here, there := newProcess(t, store, auth.Config{}), newProcess(t, store, auth.Config{})
		there.run(t)
		here.organization(t, 7)
		k := here.key(t, 7, auth.KeyRequest{})
		until(t, func() bool { return there.accepts(t, k.Key) })

		time.Sleep(2 * time.Minute)
		before := store.Calls("Stamp")
		time.Sleep(10 * time.Hour)
		if after := store.Calls("Stamp"); after != before {
			t.Errorf("asked %d times in ten idle hours", after-before)
		}
		if _, err := here.RevokeKey(t.Context(), 7, k.ID, false); err != nil {
			t.Fatal(err)
		}
		if there.accepts(t, k.Key) {
			t.Error("the first request after ten hours was judged by old credentials")
		}
	})
}

func TestUnchangedCredentialsAreNotLoadedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := started(t, auth.Config{})
		k := p.organization(t, 7).FirstKey
		until(t, func() bool { return p.accepts(t, k.Key) })
		store := p.store.(*credentials.Memory)
		loads, stamps := store.Calls("LoadAll"), store.Calls("Stamp")
		for range 100 {
			p.accepts(t, k.Key)
			time.Sleep(100 * time.Millisecond)
		}
		if got := store.Calls("LoadAll") - loads; got != 0 {
			t.Errorf("loaded %d times without a change", got)
		}
		if got := store.Calls("Stamp") - stamps; got < 19 || got > 21 {
			t.Errorf("asked %d times in 10 s, every 500 ms was expected", got)
		}
	})
}

func TestNotifyRefreshesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := credentials.NewMemory()
		here := newProcess(t, store, auth.Config{})
		there := newProcess(t, store, auth.Config{RefreshInterval: time.Hour, MaxStaleness: time.Hour})
		there.run(t)
		here.organization(t, 7)
		k := here.key(t, 7, auth.KeyRequest{})
		synctest.Wait()
		there.Notify()
		synctest.Wait()
		if !there.accepts(t, k.Key) {
			t.Error("not refreshed")
		}
	})
}

// A change is announced once. Where the refresh that it asked for fails, it is tried again,
// long before a poll.
func TestAnAnnouncedChangeIsFoundAfterARefreshThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &cutStore{Store: credentials.NewMemory(), fault: func(context.Context) error { return errors.New("out of reach") }}
		here := newProcess(t, store.Store, auth.Config{})
		there := newProcess(t, store, auth.Config{RefreshInterval: time.Hour, MaxStaleness: time.Hour})
		here.organization(t, 7)
		k := here.key(t, 7, auth.KeyRequest{})
		there.run(t)
		synctest.Wait()
		if !there.accepts(t, k.Key) {
			t.Fatal("the key is not known: the test proves nothing")
		}
		if _, err := here.RevokeKey(t.Context(), 7, k.ID, false); err != nil {
			t.Fatal(err)
		}
		store.off.Store(true)
		there.Notify()
		time.Sleep(20 * time.Second)
		if !there.accepts(t, k.Key) {
			t.Fatal("the snapshot was expected to hold for an hour: the test proves nothing")
		}
		store.off.Store(false)
		time.Sleep(5 * time.Second)
		if there.accepts(t, k.Key) {
			t.Error("a revoked key is accepted: the change was announced, and nobody looked again")
		}
	})
}

func TestAClockThatJumpsDoesNotKeepOldCredentials(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			store := credentials.NewMemory()
			here, there := newProcess(t, store, auth.Config{}), newProcess(t, store, auth.Config{RefreshInterval: time.Minute, MaxStaleness: time.Minute})
			here.organization(t, 7)
			k := here.key(t, 7, auth.KeyRequest{})
			there.run(t)
			until(t, func() bool { return there.accepts(t, k.Key) })
			synctest.Wait() // no refresh is left that would see the revocation
			if _, err := here.RevokeKey(t.Context(), 7, k.ID, false); err != nil {
				t.Fatal(err)
			}
			if !there.accepts(t, k.Key) {
				t.Fatal("the snapshot was expected to hold for a minute: the test proves nothing")
			}
			there.clock.advance(jump) // as when a machine wakes up, or its time is corrected
			if there.accepts(t, k.Key) {
				t.Errorf("a revoked key is accepted after the clock jumped by %s", jump)
			}
		})
	}
}

// Requests, refreshes, notifications and changes at once, for the race detector
// and for the one thing that must hold: a key that was never revoked is never
// refused, one that is revoked here is refused from then on.
func TestChecksHoldWhileEverythingChanges(t *testing.T) {
	p := started(t, auth.Config{RefreshInterval: time.Millisecond, FlushInterval: time.Millisecond, MaxWait: 30 * time.Second}) // on a busy machine too
	stays := p.organization(t, 7).FirstKey
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	var work sync.WaitGroup
	var checks atomic.Int64
	for range 4 {
		work.Go(func() {
			for ctx.Err() == nil {
				if _, err := p.Key(t.Context(), header(stays.Key), auth.Query); err != nil {
					t.Errorf("refused: %v", err)
					return
				}
				checks.Add(1)
			}
		})
	}
	work.Go(func() {
		for ctx.Err() == nil {
			p.Notify()
			_ = p.Refresh(ctx)
			time.Sleep(100 * time.Microsecond)
		}
	})
	work.Go(func() {
		for ctx.Err() == nil {
			k := p.key(t, 7, auth.KeyRequest{})
			if !p.accepts(t, k.Key) {
				t.Error("a created key is refused")
			}
			if _, err := p.RevokeKey(t.Context(), 7, k.ID, false); err != nil {
				t.Error(err)
			}
			if p.accepts(t, k.Key) {
				t.Error("a revoked key is accepted")
			}
		}
	})
	work.Wait()
	if checks.Load() == 0 {
		t.Error("nothing was checked")
	}
}

func TestSigningKeysThatCannotBeDecryptedAreNeverForgeries(t *testing.T) {
	store := credentials.NewMemory()
	right := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t)})
	right.organization(t, 7)
	right.organization(t, 8)
	secret := right.signingKey(t, 7)
	right.mode(t, 7, auth.ModeHMAC)

	newKey := strings.Repeat("aa", 32)
	wrong := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, newKey)})
	wrong.run(t)
	body := []byte(`{}`)
	send := func(secret auth.Secret, org leadevents.OrgID) error {
		_, err := wrong.Webhook(t.Context(), auth.Webhook{
			Signature: auth.Sign(secret, body), Body: body,
			Organization: func() (leadevents.OrgID, bool) { return org, true },
		})
		return err
	}
	// "Cannot tell", for every organization alike: the answer gives none away.
	for _, org := range []leadevents.OrgID{7, 8, 99} {
		if err := send(secret.Secret, org); outcome(err) != "unavailable" {
			t.Errorf("organization %d: %v", org, err)
		}
	}
	if !strings.Contains(wrong.log.String(), secret.ID) || strings.Contains(wrong.log.String(), secret.Secret.Reveal()) {
		t.Errorf("the log must name the key and not its secret: %s", wrong.log)
	}
	// A key that can be read works beside it.
	readable := wrong.signingKey(t, 7)
	if err := send(readable.Secret, 7); err != nil {
		t.Error(err)
	}
	// Revoking the unreadable one makes "no" a no again.
	if _, _, err := wrong.RevokeSigningKey(t.Context(), 7, secret.ID); err != nil {
		t.Fatal(err)
	}
	if err := send(secret.Secret, 7); outcome(err) != "unauthenticated" {
		t.Error(err)
	}
}

func TestAnOlderMasterKeyStillDecrypts(t *testing.T) {
	store := credentials.NewMemory()
	old, fresh := strings.Repeat("0f", 32), strings.Repeat("aa", 32)
	before := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, old)})
	before.organization(t, 7)
	first := before.signingKey(t, 7)
	after := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, fresh, old)})
	after.run(t)
	second := after.signingKey(t, 7)
	after.mode(t, 7, auth.ModeHMAC)
	if first.MasterKeyID == second.MasterKeyID {
		t.Error("a new secret is sealed by the older key")
	}
	for _, k := range []auth.NewSigningKey{first, second} {
		got, err := after.Webhook(t.Context(), auth.Webhook{
			Signature:    auth.Sign(k.Secret, nil),
			Organization: func() (leadevents.OrgID, bool) { return 7, true },
		})
		if err != nil || got.KeyID != k.ID {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// cutStore is a store that can be cut off.
type cutStore struct {
	auth.Store
	fault func(ctx context.Context) error
	off   atomic.Bool
	down  bool // from the start
}

func (c *cutStore) Stamp(ctx context.Context) (uint64, error) {
	n, err := c.Store.Stamp(ctx)
	if c.off.Load() || c.down {
		return 0, c.fault(ctx)
	}
	return n, err
}

func sleepFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// until waits for ok and says how long it took.
func until(t *testing.T, ok func() bool) time.Duration {
	t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return time.Since(began)
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("it did not happen within 10 s")
		}
	}
}
