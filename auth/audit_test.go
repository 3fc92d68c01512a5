package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"leadevents"
	"leadevents/audit"
	"leadevents/auth"
	"leadevents/internal/storetest/credentials"
)

// acts are all changes of credentials and settings, each with what it needs to be one.
var acts = []struct {
	action audit.Action
	also   audit.Action // the creation of an organization makes its first key
	prior  func(t *testing.T, p *process) (id string)
	do     func(ctx context.Context, p *process, id string) error
}{
	{
		action: audit.OrganizationCreate, also: audit.APIKeyCreate,
		prior: func(*testing.T, *process) string { return "" },
		do: func(ctx context.Context, p *process, _ string) error {
			_, err := p.CreateOrganization(ctx, "made", 8)
			return err
		},
	},
	{
		action: audit.APIKeyCreate,
		prior:  func(*testing.T, *process) string { return "" },
		do: func(ctx context.Context, p *process, _ string) error {
			_, err := p.CreateKey(ctx, 7, auth.KeyRequest{Name: "crm"})
			return err
		},
	},
	{
		action: audit.APIKeyRevoke,
		prior:  func(t *testing.T, p *process) string { return p.key(t, 7, auth.KeyRequest{}).ID },
		do: func(ctx context.Context, p *process, id string) error {
			_, err := p.RevokeKey(ctx, 7, id, false)
			return err
		},
	},
	{
		action: audit.SigningKeyCreate,
		prior:  func(*testing.T, *process) string { return "" },
		do: func(ctx context.Context, p *process, _ string) error {
			_, err := p.CreateSigningKey(ctx, 7, "crm")
			return err
		},
	},
	{
		action: audit.SigningKeyRevoke,
		prior:  func(t *testing.T, p *process) string { return p.signingKey(t, 7).ID },
		do: func(ctx context.Context, p *process, id string) error {
			_, _, err := p.RevokeSigningKey(ctx, 7, id)
			return err
		},
	},
	{
		action: audit.WebhooksUpdate,
		prior:  func(t *testing.T, p *process) string { return p.signingKey(t, 7).ID },
		do: func(ctx context.Context, p *process, _ string) error {
			_, err := p.SetAuthMode(ctx, 7, auth.ModeHMAC)
			return err
		},
	},
	{
		action: audit.WebhooksUpdate,
		prior:  func(*testing.T, *process) string { return "" },
		do: func(ctx context.Context, p *process, _ string) error {
			tolerance := time.Minute
			_, err := p.SetWebhooks(ctx, 7, auth.WebhookSettings{AuthMode: auth.ModeAPIKey, ReplayTolerance: &tolerance})
			return err
		},
	},
	{
		action: audit.LimitsUpdate,
		prior:  func(*testing.T, *process) string { return "" },
		do: func(ctx context.Context, p *process, _ string) error {
			_, err := p.SetLimits(ctx, 7, auth.LimitChanges{leadevents.RowsPerSecond: 5, leadevents.StoredAudiences: auth.Unset})
			return err
		},
	},
	{
		action: audit.SigningKeyReencrypt,
		prior: func(t *testing.T, p *process) string { // made where another master key is the current one
			return newProcess(t, p.store, auth.Config{MasterKeys: masterKeys(t, newKey)}).signingKey(t, 7).ID
		},
		do: func(ctx context.Context, p *process, _ string) error {
			_, _, err := p.RotateMasterKey(ctx)
			return err
		},
	},
}

// holds is everything of an organization that the store has, but for what only
// readers add.
func holds(t *testing.T, store auth.Store) auth.Records {
	t.Helper()
	r, err := store.LoadAll(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var anyOrder = cmp.Options{
	cmpopts.SortSlices(func(a, b auth.APIKey) bool { return a.ID < b.ID }),
	cmpopts.SortSlices(func(a, b auth.SigningKey) bool { return a.ID < b.ID }),
	cmpopts.SortSlices(func(a, b auth.Organization) bool { return a.ID < b.ID }),
	cmpopts.EquateEmpty(),
}

// The process dies, or the store leaves, at every call that an act makes of it, one
// after the other: whatever has changed is in the log.
func TestNoCredentialChangesWithoutAnEntry(t *testing.T) {
	for _, a := range acts {
		for dies, ended := 1, false; !ended; dies++ {
			t.Run(fmt.Sprintf("%s/at call %d", a.action, dies), func(t *testing.T) {
				store := credentials.NewMemory()
				var calls atomic.Int64
				var armed atomic.Bool
				dead := errors.New("dead")
				store.Before = func(_ context.Context, method string) error {
					if armed.Load() && int(calls.Add(1)) >= dies {
						return dead
					}
					return nil
				}
				p := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, oldKey, newKey)})
				p.organization(t, 7)
				id := a.prior(t, p)
				before, entries := holds(t, store), len(store.Audit())

				ctx, cancel := context.WithCancel(t.Context())
				armed.Store(true)
				go func() { // a store that is away is tried again: end that
					for calls.Load() < int64(dies)+1 && ctx.Err() == nil {
						time.Sleep(time.Millisecond)
					}
					cancel()
				}()
				err := a.do(ctx, p, id)
				cancel()
				armed.Store(false)
				after := holds(t, store)
				changed := !cmp.Equal(before, after, anyOrder)
				written := map[audit.Action]audit.Outcome{}
				for _, e := range store.Audit()[entries:] {
					if e.Outcome == audit.Begun && written[e.Action] == "" || e.Outcome != audit.Begun {
						written[e.Action] = e.Outcome
					}
				}
				if changed && written[a.action] == "" {
					t.Errorf("changed without an entry: %s", cmp.Diff(before, after, anyOrder))
				}
				if len(after.APIKeys) > len(before.APIKeys) && written[audit.APIKeyCreate] == "" {
					t.Error("a key was made without an entry")
				}
				if written[a.action] == audit.Done && !changed {
					t.Error("an entry says done, and nothing has changed")
				}
				if err == nil && !changed {
					t.Error("it was told done, and nothing has changed")
				}
				ended = int(calls.Load()) < dies // nothing failed any more
				if ended && (written[a.action] != audit.Done || a.also != "" && written[a.also] != audit.Done || err != nil) {
					t.Errorf("with a store that does not fail: %v, %v", written, err)
				}
			})
		}
	}
}

// With a log that cannot be written everything stays as it was, and that is told.
func TestWithoutItsLogNothingIsAdministered(t *testing.T) {
	for _, a := range acts {
		t.Run(string(a.action), func(t *testing.T) {
			store := credentials.NewMemory()
			var full atomic.Bool
			store.Before = func(_ context.Context, method string) error {
				if full.Load() && method == "AppendAudit" {
					return leadevents.Errorf(leadevents.Unavailable, "the disk is full")
				}
				return nil
			}
			p := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, oldKey, newKey)})
			p.organization(t, 7)
			id := a.prior(t, p)
			before := holds(t, store)
			full.Store(true)
			err := a.do(t.Context(), p, id)
			if leadevents.KindOf(err) != leadevents.Unavailable || !strings.Contains(err.Error(), "nothing was done") {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(before, holds(t, store), anyOrder); diff != "" {
				t.Error(diff)
			}
			full.Store(false)
			if err := a.do(t.Context(), p, id); err != nil {
				t.Errorf("with the log again: %v", err)
			}
		})
	}
}

// Entries say by whom, from where and to what; what changes nothing, and what is
// refused before anything is begun, has none.
func TestEntriesOfAdministration(t *testing.T) {
	store := credentials.NewMemory()
	p := newProcess(t, store, auth.Config{MasterKeys: masterKeys(t, oldKey, newKey)})
	by := audit.Actor{Type: audit.Operator, Client: netip.MustParseAddr("2001:db8::7"), RequestID: "r"}
	ctx := audit.WithActor(t.Context(), by)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	o, err := p.CreateOrganization(ctx, "Acme", 7)
	must(err)
	k, err := p.CreateKey(ctx, 7, auth.KeyRequest{Name: "crm", Scopes: auth.Scopes(auth.Query), ExpiresAt: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)})
	must(err)
	s, err := p.CreateSigningKey(ctx, 7, "signer")
	must(err)
	for range 2 { // again is no act
		_, err = p.SetAuthMode(ctx, 7, auth.ModeHMAC)
		must(err)
		_, err = p.RevokeKey(ctx, 7, k.ID, false)
		must(err)
		_, _, err = p.RevokeSigningKey(ctx, 7, s.ID)
		must(err)
	}
	if _, err := p.RevokeKey(ctx, 7, o.FirstKey.ID, false); leadevents.KindOf(err) != leadevents.Conflict {
		t.Fatal(err)
	}
	if _, err := p.CreateOrganization(ctx, "Again", 7); leadevents.KindOf(err) != leadevents.Conflict {
		t.Fatal(err)
	}
	_, err = p.RevokeKey(ctx, 7, o.FirstKey.ID, true)
	must(err)

	var got []string
	for _, e := range store.Audit() {
		if e.Actor != by || e.ID == 0 || e.At == 0 {
			t.Errorf("%+v", e)
		}
		if e.Outcome != audit.Begun {
			got = append(got, fmt.Sprintf("%s %s %s %s", e.Outcome, e.Action, e.Object, e.Detail))
		}
		for _, secret := range []auth.Secret{o.FirstKey.Key, k.Key, s.Secret} {
			if strings.Contains(string(e.Detail), secret.Reveal()) {
				t.Errorf("an entry has a secret: %s", e.Detail)
			}
		}
	}
	want := []string{
		`done organization.create 7 {"name":"Acme"}`,
		`done api_key.create ` + o.FirstKey.ID + ` {"name":"first key","scopes":["ingest","campaigns","query","admin"]}`,
		`done api_key.create ` + k.ID + ` {"expiresAt":"2099-01-01T00:00:00.000Z","name":"crm","scopes":["query"]}`,
		`done signing_key.create ` + s.ID + ` {"name":"signer"}`,
		`done webhooks.update 7 {"authMode":"hmac","before":"api_key"}`,
		`done api_key.revoke ` + k.ID + ` {"name":"crm","scopes":["query"]}`,
		`done signing_key.revoke ` + s.ID + ` {"name":"signer"}`,
		`done api_key.revoke ` + o.FirstKey.ID + ` {"force":true,"name":"first key","scopes":["ingest","campaigns","query","admin"]}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
