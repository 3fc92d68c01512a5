package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"leadevents/audit"
	"leadevents/auth"
	"leadevents/configs"
	"leadevents/query"
)

// audited are all endpoints that change something, in the order in which they are
// sent, and the export; what each leaves in the audit log, newest first. Those without
// an entry say why.
var audited = []struct {
	method, path, send string
	query, body        string
	credential         string
	actions            string
	because            string
}{
	{method: "POST", path: organizationsPath, body: `{"name":"Acme","organizationId":60}`, credential: "operator", actions: "api_key.create organization.create"},
	{method: "PUT", path: organizationsPath + "/{organizationId}/limits", send: organizationsPath + "/60/limits", body: `{"rowsPerSecond":100000}`, credential: "operator", actions: "limits.update"},
	{method: "POST", path: keysPath, body: `{"name":"to be revoked"}`, actions: "api_key.create"},
	{method: "DELETE", path: keysPath + "/{id}", send: keysPath + "/{apiKey}", actions: "api_key.revoke"},
	{method: "POST", path: signingPath, body: `{"name":"to be revoked"}`, actions: "signing_key.create"},
	{method: "PUT", path: webhooksPath, body: `{"authMode":"hmac"}`, actions: "webhooks.update"},
	{method: "PUT", path: webhooksPath, body: `{"authMode":"api_key"}`, actions: "webhooks.update"},
	{method: "DELETE", path: signingPath + "/{id}", send: signingPath + "/{signingKey}", actions: "signing_key.revoke"},
	{method: "POST", path: ingestPath, body: `{"organizationId":60,"eventType":"a","events":[]}`, because: "each call has a receipt"},
	{method: "PUT", path: "/api/v1/audiences/{audienceId}/leads", send: "/api/v1/audiences/x/leads", body: `{"leads":[{"phoneE164":"+15551234567"}]}`, actions: "audience.create"},
	{method: "POST", path: "/api/v1/audiences/{audienceId}/leads", send: "/api/v1/audiences/x/leads", body: `{"leads":[{"phoneE164":"+15551234568"}]}`, actions: "audience.append"},
	{method: "POST", path: "/api/v1/filters/preview", body: `{"audience":{"audienceId":"x"},"eventFilters":[]}`, because: "it changes nothing, and no lead leaves"},
	{method: "POST", path: "/api/v1/reports/timeseries", body: `{"eventTypes":["x"],"interval":"day","from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}`, because: "it changes nothing, and no lead leaves"},
	{method: "POST", path: "/api/v1/reports/breakdown", body: `{"eventType":"x","path":"plan","from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}`, because: "it changes nothing, and no lead leaves"},
	{method: "POST", path: "/api/v1/reports/funnel", body: `{"steps":[{"eventType":"x"},{"eventType":"y"}],"within":{"minutes":60},"from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}`, because: "it changes nothing, and no lead leaves"},
	{method: "POST", path: "/api/v1/reports/retention", body: `{"first":{"eventType":"x"},"returning":{"eventType":"y"},"period":"day","from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}`, because: "it changes nothing, and no lead leaves"},
	{method: "POST", path: "/api/v1/webhooks/campaigns/audience-filter", body: `{"organizationId":60,"campaignId":"c","sendId":"s","mode":"include","leads":[{"phoneE164":"+15551234567"}]}`, actions: "send.filter"},
	{method: "PUT", path: "/api/v1/sends/{sendId}", send: "/api/v1/sends/s", body: `{"audience":{"audienceId":"x"},"eventFilters":[]}`, actions: "send.define"},
	{method: "POST", path: "/api/v1/sends/{sendId}/materialize", send: "/api/v1/sends/s/materialize", query: "wait=true", actions: "send.materialize"},
	{method: "GET", path: "/api/v1/sends/{sendId}/leads", send: "/api/v1/sends/s/leads", actions: "send.export"},
	{method: "POST", path: "/api/v1/sql", body: `{"query":"SELECT count() FROM events"}`, actions: "sql.query"},
	{method: "GET", path: eventsPath, because: "it is a page"},
	{method: "GET", path: eventsPath, query: "format=csv&phone=15551234567", actions: "events.export"},
	{method: "GET", path: "/api/v1/leads/{phone}/events", send: "/api/v1/leads/15551234567/events", query: "format=ndjson", actions: "events.export"},
	{method: "DELETE", path: "/api/v1/audiences/{audienceId}", send: "/api/v1/audiences/x", actions: "audience.delete"},
	{method: "PUT", path: retentionPath, body: `{"days":365,"eventTypes":[{"eventType":"a","days":null}]}`, actions: "retention.update"},
	{method: "DELETE", path: "/api/v1/batches/{batchId}", send: "/api/v1/batches/1", because: "there is no such batch; package journal tests its entry"},
	{method: "DELETE", path: "/api/v1/runs/{run}", send: "/api/v1/runs/none", because: "there is no such run"},
	{method: "DELETE", path: leadPath, send: "/api/v1/leads/15551234567", query: "wait=true", actions: "lead.erase"},
	{method: "POST", path: leadPath + "/allow", send: "/api/v1/leads/15551234567/allow", actions: "lead.allow"},
}

// auditOf reads the newest entries of an organization over HTTP.
func (s *sender) auditOf(credential, parameters string) (entries []query.ShownAuditEntry, next string) {
	s.t.Helper()
	a := s.sendAgain(http.MethodGet, auditPath, nil, sending{Credential: credential, Query: parameters})
	var answer struct {
		Entries    []query.ShownAuditEntry
		NextCursor string
	}
	if err := json.Unmarshal(a.body, &answer); err != nil || a.status != http.StatusOK {
		s.t.Fatalf("%s?%s: %d %s (%v)", auditPath, parameters, a.status, a.body, err)
	}
	return answer.Entries, answer.NextCursor
}

// A change that goes past the audit log is not let in here: whatever can be changed
// over HTTP is audited by whom it was, from where, and in which request.
func TestEveryChangeOverHTTPIsAudited(t *testing.T) {
	covered := map[string]bool{}
	for _, e := range audited {
		covered[e.method+" "+e.path] = true
		if (e.actions == "") != (e.because != "") {
			t.Errorf("%s %s: either it has an entry, or a reason", e.method, e.path)
		}
	}
	for path, item := range document(t).Paths.Map() {
		for method := range item.Operations() {
			if method != http.MethodGet && !covered[method+" "+path] {
				t.Errorf("%s %s may change something: say in audited what it leaves in the audit log", method, path)
			}
		}
	}

	s, from := storeSettings(t), newSender(t)
	s.HTTP.TrustedProxies = []string{"127.0.0.1"}
	hasten(&s)
	prove(t, &s, from)
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	from.base = base
	seen, first, firstID := 0, "", ""
	for i, e := range audited {
		path, credential := e.path, e.credential
		if e.send != "" {
			path = from.filled(e.send)
		}
		if credential == "" {
			credential = "acme"
		}
		request := fmt.Sprintf("request-%d", i)
		var a answered
		eventually(t, "an answer other than that it is too early", func() bool {
			a = from.sendAgain(e.method, path, []byte(e.body), sending{Credential: credential, Query: e.query, Headers: map[string]string{
				"X-Request-Id": request, "X-Forwarded-For": "203.0.113.9",
			}})
			return a.status != http.StatusConflict
		})
		if a.status >= 300 && e.because == "" {
			t.Fatalf("%s %s: %d %s", e.method, path, a.status, a.body)
		}
		if e.path == organizationsPath {
			var made administered
			if err := json.Unmarshal(a.body, &made); err != nil {
				t.Fatal(err)
			}
			first, firstID = made.APIKey.Key, made.APIKey.ID
			from.adopt("acme", first)
		}
		entries, _ := from.auditOf("acme", "limit=1000")
		var actions []string
		for _, entry := range entries[:len(entries)-seen] {
			actions = append(actions, string(entry.Action))
			who := string(entry.Actor.Type)
			if entry.Actor.ID != nil {
				who += " " + *entry.Actor.ID
			}
			want := "api_key " + firstID
			if credential == "operator" {
				want = "operator"
			}
			if who != want || entry.Outcome != audit.Done || entry.ClientAddress == nil || *entry.ClientAddress != "203.0.113.9" || entry.RequestID == nil || *entry.RequestID != request {
				t.Errorf("%s %s by %s: %+v by %q", e.method, path, credential, entry, who)
			}
			for _, told := range []string{first, "555123"} {
				if strings.Contains(string(entry.Detail), told) {
					t.Errorf("%s %s: the entry tells a secret or a phone: %s", e.method, path, entry.Detail)
				}
			}
		}
		seen = len(entries)
		if got := strings.Join(actions, " "); got != e.actions {
			t.Errorf("%s %s left %q in the audit log; want %q", e.method, path, got, e.actions)
		}
	}

	// The log as its readers ask for it.
	count := func(parameters string, want int) {
		t.Helper()
		if entries, _ := from.auditOf("acme", parameters); len(entries) != want {
			t.Errorf("%s: %d entries, want %d", parameters, len(entries), want)
		}
	}
	count("actor=operator", 3)
	count("actor="+firstID, seen-3)
	count("action=webhooks.update", 2)
	count("from=2099-01-01T00:00:00Z&limit=1", 0)
	count("to=1970-01-01T00:00:00Z", 0)
	whole, _ := from.auditOf("acme", "")
	page, next := from.auditOf("acme", "limit=5")
	rest, end := from.auditOf("acme", "limit=1000&cursor="+next)
	if len(page) != 5 || len(page)+len(rest) != len(whole) || rest[0].ID != whole[5].ID || end != "" {
		t.Errorf("%d entries by pages of %d and %d", len(whole), len(page), len(rest))
	}
	for _, parameters := range []string{"action=api_key", "actor=", "actor=" + strings.Repeat("x", 301), "from=yesterday", "limit=0", "limit=1001", "cursor=x", "object=x", "action=send.export&action=send.export"} {
		if a := from.sendAgain(http.MethodGet, auditPath, nil, sending{Credential: "acme", Query: parameters}); a.status != http.StatusBadRequest {
			t.Errorf("%.40s: %d %s", parameters, a.status, a.body)
		}
	}
	for _, method := range []string{http.MethodDelete, http.MethodPut, http.MethodPost, http.MethodPatch} {
		request, err := http.NewRequestWithContext(t.Context(), method, base+auditPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		from.credentials["acme"](request.Header, nil)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d", method, auditPath, response.StatusCode)
		}
	}
}

// What commands do is in the same log, and read from the stores alone.
func TestCommandsAreAudited(t *testing.T) {
	s := storeSettings(t)
	if err := Migrate(t.Context(), s, quiet()); err != nil {
		t.Fatal(err)
	}
	ctx := audit.WithActor(t.Context(), audit.Actor{Type: audit.Command, ID: "root@host"})
	if err := Administer(ctx, s, quiet(), func(d *auth.Directory) error {
		_, err := d.CreateOrganization(ctx, "test", 7)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	read := func(s configs.Settings) (found []audit.Entry, err error) {
		err = ReadAudit(t.Context(), s, func(log *query.AuditLog) error {
			found, _, err = log.Entries(t.Context(), 7, audit.Filter{Actor: "root@host"}, "", 10)
			return err
		})
		return found, err
	}
	found, err := read(s)
	if err != nil || len(found) != 2 || found[1].Action != audit.OrganizationCreate || found[0].Outcome != audit.Done || found[0].Actor.Client.IsValid() {
		t.Errorf("%+v, %v", found, err)
	}
	s.ClickHouse.Addrs = []string{closed}
	if _, err := read(s); err == nil || !strings.Contains(err.Error(), "start ClickHouse") {
		t.Errorf("without ClickHouse: %v", err)
	}
}
