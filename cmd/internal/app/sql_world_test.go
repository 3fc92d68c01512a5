package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"leadevents"
	"leadevents/auth"
	"leadevents/clickhouse/analyst"
	"leadevents/configs"
)

// sqlWorld is a server and two organizations with events that hold secrets.
type sqlWorld struct {
	t        *testing.T
	settings configs.Settings
	base     string
	log      *logOf
	keys     map[leadevents.OrgID]string
}

const (
	mySecret    = "mine-5d1c"
	theirSecret = "theirs-8f3a"
	theirEvent  = "secret_of_43"
	theirNumber = "12025550143"
)

// newSQLWorld starts one; change may change the settings before.
func newSQLWorld(t *testing.T, change ...func(*configs.Settings)) *sqlWorld {
	t.Helper()
	w := &sqlWorld{t: t, settings: storeSettings(t), keys: map[leadevents.OrgID]string{}, log: &logOf{}}
	for _, f := range change {
		f(&w.settings)
	}
	if err := Migrate(t.Context(), w.settings, quiet()); err != nil {
		t.Fatal(err)
	}
	administer(t, w.settings, func(d *auth.Directory) error {
		for _, org := range []leadevents.OrgID{42, 43} {
			created, err := d.CreateOrganization(t.Context(), org.String(), org)
			if err != nil {
				return err
			}
			w.keys[org] = created.FirstKey.Key.Reveal()
		}
		return nil
	})
	var stop func()
	w.base, stop = startServe(t, w.settings, w.log)
	t.Cleanup(stop)
	w.store(42, "webinar_joined", "15551230000", `{"amountUsd":297,"note":"`+mySecret+`"}`)
	w.store(42, "purchase", "15551230001", `{"amountUsd":12.5,"plan":{"name":"gold"}}`)
	w.store(43, theirEvent, theirNumber, `{"amountUsd":1,"note":"`+theirSecret+`"}`)
	return w
}

// store has an event counted as new.
func (w *sqlWorld) store(org leadevents.OrgID, eventType, phone, metadata string) {
	w.t.Helper()
	body := fmt.Sprintf(`{"organizationId":%d,"eventType":%q,"events":[{"phoneE164":"+%s","occurredAt":"2026-05-12T18:34:00Z","metadata":%s}]}`, org, eventType, phone, metadata)
	if a := w.post(org, ingestPath, body); a.status != http.StatusOK || !strings.Contains(string(a.body), `"inserted":1`) {
		w.t.Fatalf("store an event of %d: %d %s", org, a.status, a.body)
	}
}

// together has all events in one part, so in one granule.
func (w *sqlWorld) together() {
	w.t.Helper()
	w.root("OPTIMIZE TABLE " + w.settings.ClickHouse.Database + ".lead_events FINAL")
	if parts := w.root("SELECT count() FROM system.parts WHERE active AND table = 'lead_events' AND database = '" + w.settings.ClickHouse.Database + "'"); parts != "1\n" {
		w.t.Fatalf("events lie in %s parts, want 1", parts)
	}
}

// post sends a body as an organization, and reads all of the answer.
func (w *sqlWorld) post(org leadevents.OrgID, path, body string) answered {
	w.t.Helper()
	a, err := w.try(w.t.Context(), org, path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// try is post for any goroutine. The answer is what came before an error.
func (w *sqlWorld) try(ctx context.Context, org leadevents.OrgID, path, body string) (a answered, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+path, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	request.Header.Set("Authorization", "Bearer "+w.keys[org])
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return a, err
	}
	defer func() { _ = response.Body.Close() }()
	a.status, a.header = response.StatusCode, response.Header
	a.body, err = io.ReadAll(response.Body)
	return a, err
}

// sql asks a statement.
func (w *sqlWorld) sql(org leadevents.OrgID, format, query string, params any) answered {
	w.t.Helper()
	return w.post(org, "/api/v1/sql?format="+format, sqlBody(w.t, query, params))
}

// answered is sql, sent again while it is answered 503, which is always safe: on a busy
// machine a store may be too slow for once.
func (w *sqlWorld) answered(org leadevents.OrgID, query string) (a answered) {
	w.t.Helper()
	eventually(w.t, "an answer other than 503 to "+query, func() bool {
		a = w.sql(org, "json", query, nil)
		return a.status != http.StatusServiceUnavailable
	})
	return a
}

func sqlBody(t testing.TB, query string, params any) string {
	t.Helper()
	in := map[string]any{"query": query}
	if params != nil {
		in["params"] = params
	}
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(in); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// said is code and message of an error.
func (a answered) said(t testing.TB) (code, message string) {
	t.Helper()
	var e struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(a.body, &e); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return e.Error.Code, e.Error.Message
}

// account is the database user that the organization's statements run as.
func (w *sqlWorld) account(org leadevents.OrgID) analyst.Account {
	w.t.Helper()
	a := w.sql(org, "json", "SELECT 1", nil) // which makes it
	if a.status != http.StatusOK {
		w.t.Fatalf("SELECT 1: %d %s", a.status, a.body)
	}
	s := w.settings
	for i := range s.SQL.UserPool {
		account := analyst.Pooled(s.ClickHouse.Password.Reveal(), i)
		if w.root("SELECT comment FROM system.tables WHERE name = 'events' AND database = '"+account.Database+"'") == analyst.ViewComment(s.ClickHouse.Database, org)+"\n" {
			return account
		}
	}
	w.t.Fatalf("organization %d has no account", org)
	return analyst.Account{}
}

// root asks ClickHouse itself, as the user with all rights.
func (w *sqlWorld) root(statement string) string {
	w.t.Helper()
	s := w.settings.ClickHouse
	status, body := w.direct(analyst.Account{User: s.User, Password: s.Password.Reveal(), Database: s.Database}, statement, 10*time.Second)
	if status != http.StatusOK {
		w.t.Fatalf("%s: %d %s", statement, status, body)
	}
	return body
}

// direct asks ClickHouse over HTTP, past our server. An answer that does not end, or
// that breaks off, is what came of it.
func (w *sqlWorld) direct(as analyst.Account, statement string, limit time.Duration) (status int, body string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.settings.ClickHouse.HTTPAddrs[0]+"/?database="+as.Database, strings.NewReader(statement))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("X-ClickHouse-User", as.User)
	request.Header.Set("X-ClickHouse-Key", as.Password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, string(text)
}
