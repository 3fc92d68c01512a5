package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/storetest/credentials"
)

// held is what a request of an organization is limited by.
func held(t *testing.T, p *process, key auth.Secret) leadevents.Limits {
	t.Helper()
	by, err := p.Key(t.Context(), header(key), auth.Query)
	if err != nil {
		t.Fatal(err)
	}
	if by.Limits == nil {
		return leadevents.Limits{}
	}
	return *by.Limits
}

func (p *process) limit(t *testing.T, org leadevents.OrgID, changes auth.LimitChanges) auth.LimitsOf {
	t.Helper()
	of, err := p.SetLimits(t.Context(), org, changes)
	if err != nil {
		t.Fatal(err)
	}
	return of
}

// What is an organization's own holds, also where it is no limit; the rest is the
// default; and nobody else is touched.
func TestAnOrganizationsOwnLimitsHoldAndTheDefaultsElse(t *testing.T) {
	defaults := leadevents.Limits{leadevents.RequestsPerSecond: 50, leadevents.BodiesInFlight: 3}
	p := started(t, auth.Config{DefaultLimits: defaults})
	mine, other := p.organization(t, 7).FirstKey.Key, p.organization(t, 8).FirstKey.Key
	for _, step := range []struct {
		changes auth.LimitChanges
		want    leadevents.Limits
		own     string
	}{
		{nil, defaults, ""},
		{auth.LimitChanges{leadevents.RequestsPerSecond: 100, leadevents.RowsPerSecond: 5000}, leadevents.Limits{100, 5000, 3, 0, 0}, "requestsPerSecond rowsPerSecond"},
		{auth.LimitChanges{leadevents.BodiesInFlight: 0}, leadevents.Limits{100, 5000, 0, 0, 0}, "requestsPerSecond rowsPerSecond bodiesInFlight"},
		{auth.LimitChanges{leadevents.RequestsPerSecond: 0, leadevents.RowsPerSecond: auth.Unset}, leadevents.Limits{}, "requestsPerSecond bodiesInFlight"},
		{auth.LimitChanges{leadevents.RequestsPerSecond: auth.Unset, leadevents.BodiesInFlight: auth.Unset, leadevents.StoredAudiences: auth.Unset}, defaults, ""},
	} {
		of := p.limit(t, 7, step.changes)
		read, err := p.Limits(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		var own []string
		for _, limit := range leadevents.AllLimits() {
			shown := read.ShowOne(limit)
			if shown.Value != step.want[limit] {
				t.Errorf("%v: %s is shown as %+v", step.changes, limit, shown)
			}
			if shown.From == "own" {
				own = append(own, limit.String())
			}
		}
		if diff := cmp.Diff(of, read); diff != "" || strings.Join(own, " ") != step.own || read.Limits != step.want || read.Org != 7 {
			t.Errorf("%v: %+v, own %q; read again:\n%s", step.changes, read, own, diff)
		}
		if got := held(t, p, mine); got != step.want {
			t.Errorf("%v: %v holds, want %v", step.changes, got, step.want)
		}
		if got := held(t, p, other); got != defaults {
			t.Errorf("%v: another organization has %v", step.changes, got)
		}
	}
}

func TestNobodyIsLimitedUnlessSet(t *testing.T) {
	p := started(t, auth.Config{})
	key := p.organization(t, 7).FirstKey.Key
	if by, err := p.Key(t.Context(), header(key), auth.Query); err != nil || by.Limits != nil {
		t.Errorf("%+v, %v: without limits there is nothing to ask", by, err)
	}
}

// A signature and a key without the scope are limited like any other.
func TestWhoeverIsKnownIsLimited(t *testing.T) {
	p := started(t, auth.Config{MasterKeys: masterKeys(t)})
	p.organization(t, 7)
	narrow := p.key(t, 7, auth.KeyRequest{Scopes: auth.Scopes(auth.Query)})
	p.limit(t, 7, auth.LimitChanges{leadevents.RequestsPerSecond: 9})
	by, err := p.Key(t.Context(), header(narrow.Key), auth.Admin)
	if leadevents.KindOf(err) != leadevents.Forbidden || by.Limits == nil || by.Limits[leadevents.RequestsPerSecond] != 9 {
		t.Errorf("a key without the scope: %+v, %v", by, err)
	}
	body := []byte("signed")
	signature := auth.Sign(p.signingKey(t, 7).Secret, body)
	p.mode(t, 7, auth.ModeHMAC)
	by, err = p.Webhook(t.Context(), auth.Webhook{Signature: signature, Body: body, Organization: func() (leadevents.OrgID, bool) { return 7, true }})
	if err != nil || by.Limits == nil || by.Limits[leadevents.RequestsPerSecond] != 9 {
		t.Errorf("a signature: %+v, %v", by, err)
	}
}

// Within 2 seconds everywhere, by polling alone.
func TestAChangedLimitHoldsEverywhereWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := started(t, auth.Config{})
		there := newProcess(t, here.store, auth.Config{})
		there.run(t)
		key := here.organization(t, 7).FirstKey.Key
		held(t, there, key)
		for _, value := range []int{10, 20, auth.Unset} {
			want := leadevents.Limits{max(value, 0)}
			here.limit(t, 7, auth.LimitChanges{leadevents.RequestsPerSecond: value})
			if got := held(t, here, key); got != want {
				t.Errorf("here %v holds, want %v", got, want)
			}
			if waited := until(t, func() bool { return held(t, there, key) == want }); waited > 2*time.Second {
				t.Errorf("elsewhere %v holds after %s", want, waited)
			}
		}
	})
}

func TestWrongLimitsChangeNothing(t *testing.T) {
	store := credentials.NewMemory()
	p := newProcess(t, store, auth.Config{})
	p.run(t)
	p.organization(t, 7)
	for want, changes := range map[string]auth.LimitChanges{
		"invalid_request rowsPerSecond is -2":             {leadevents.RequestsPerSecond: 1, leadevents.RowsPerSecond: -2},
		"invalid_request storedAudiences is 1000001: 0 (": {leadevents.RequestsPerSecond: 1, leadevents.StoredAudiences: 1_000_001},
	} {
		_, err := p.SetLimits(t.Context(), 7, changes)
		if kind, says, _ := strings.Cut(want, " "); outcome(err) != kind || !strings.Contains(message(err), says) {
			t.Errorf("%v: %v", changes, err)
		}
	}
	if _, err := p.SetLimits(t.Context(), 8, auth.LimitChanges{leadevents.RequestsPerSecond: 1}); outcome(err) != "not_found" {
		t.Errorf("of nobody: %v", err)
	}
	if _, err := p.Limits(t.Context(), 8); outcome(err) != "not_found" {
		t.Errorf("of nobody: %v", err)
	}
	p.limit(t, 7, auth.LimitChanges{leadevents.RowsPerSecond: 5})
	p.limit(t, 7, auth.LimitChanges{leadevents.RowsPerSecond: 5, leadevents.BodiesInFlight: auth.Unset})
	if n := store.Calls("PutLimits"); n != 1 {
		t.Errorf("%d writes, of one change", n)
	}
	of, err := p.Limits(t.Context(), 7)
	if err != nil || of.Limits != (leadevents.Limits{leadevents.RowsPerSecond: 5}) {
		t.Errorf("%+v, %v", of, err)
	}
}

// What was not stored is not said to hold.
func TestLimitsThatCannotBeStoredAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := credentials.NewMemory()
		p := newProcess(t, store, auth.Config{})
		p.run(t)
		key := p.organization(t, 7).FirstKey.Key
		synctest.Wait()
		store.Before = func(_ context.Context, method string) error {
			if method == "PutLimits" {
				return errors.New("down")
			}
			return nil
		}
		_, err := p.SetLimits(t.Context(), 7, auth.LimitChanges{leadevents.RowsPerSecond: 5})
		if outcome(err) != "unavailable" || !strings.Contains(message(err), "the limits may or may not have been stored") {
			t.Error(err)
		}
		if got := held(t, p, key); got != (leadevents.Limits{}) {
			t.Errorf("%v holds", got)
		}
	})
}

// The answer has every limit, by the names of the API.
func TestShownLimitsHaveEveryLimit(t *testing.T) {
	of := auth.LimitsOf{Org: 7}
	for _, limit := range leadevents.AllLimits() {
		of.Limits[limit] = 100 + int(limit)
	}
	text, err := json.Marshal(of.Show())
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range leadevents.AllLimits() {
		if want := fmt.Sprintf(`"%s":{"value":%d,"from":"default"}`, limit, of.Limits[limit]); !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
}
