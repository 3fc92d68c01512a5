package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// guard is what lets a request in.
type guard int

const (
	open     guard = iota // everybody
	operator              // the operator token
	scoped                // an API key with a scope
	webhook               // what the organization's auth mode asks for, and scope ingest
)

// entry is an endpoint of openapi.yaml with a request that is good, and what
// becomes of it. Everything else follows from the guard.
type entry struct {
	method, path string
	send         string // the path with its parameters, if it has any
	query, body  string
	guard        guard
	lacking      string // a credential of organization 42 without the scope
	own          string // what the right credential of organization 42 is answered
	// stranger is what the same request is answered with a key of another
	// organization that may do all there: never anything of 42's.
	stranger string
}

// matrix stands in the order in which it is sent: what reads before what changes.
// Of each entry the stranger's request goes before the right one.
var matrix = []entry{
	{method: "GET", path: "/livez", guard: open, own: "200"},
	{method: "GET", path: "/readyz", guard: open, own: "200"},
	{method: "GET", path: "/metrics", guard: open, own: "200"},
	{method: "GET", path: "/api/v1/openapi.yaml", guard: open, own: "200"},

	{method: "POST", path: ingestPath, guard: webhook, lacking: "narrow",
		body: `{"organizationId":42,"eventType":"matrix","events":[{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z"}]}`,
		own:  "200", stranger: "403 organization_mismatch"},
	{method: "POST", path: "/api/v1/webhooks/campaigns/audience-filter", guard: webhook, lacking: "narrow",
		body: `{"organizationId":42,"campaignId":"c","sendId":"later","mode":"include","leads":[]}`,
		own:  "200", stranger: "403 organization_mismatch"},

	{method: "GET", path: "/api/v1/batches", guard: scoped, lacking: "ingestOnly", own: "200", stranger: "200"},
	{method: "GET", path: "/api/v1/batches/{batchId}", guard: scoped, lacking: "ingestOnly", own: "200", stranger: "404 not_found"},
	{method: "GET", path: "/api/v1/batches/{batchId}/rejects", guard: scoped, lacking: "ingestOnly", own: "200", stranger: "404 not_found"},
	{method: "GET", path: "/api/v1/runs", guard: scoped, lacking: "ingestOnly", own: "200", stranger: "200"},
	{method: "GET", path: "/api/v1/runs/{run}", send: "/api/v1/runs/mine", guard: scoped, lacking: "ingestOnly", own: "200", stranger: "404 not_found"},
	{method: "GET", path: "/api/v1/event-types", guard: scoped, lacking: "ingestOnly", own: "200", stranger: "200"},
	{method: "GET", path: eventsPath, guard: scoped, lacking: "ingestOnly", own: "200", stranger: "200"},
	{method: "GET", path: "/api/v1/leads/{phone}/events", send: "/api/v1/leads/15551234567/events", guard: scoped, lacking: "ingestOnly", own: "200", stranger: "200"},
	{method: "POST", path: "/api/v1/filters/preview", guard: scoped, lacking: "ingestOnly",
		body: `{"audience":{"audienceId":"mine"},"eventFilters":[]}`, own: "200", stranger: "404 not_found"},
	{method: "POST", path: "/api/v1/reports/timeseries", guard: scoped, lacking: "ingestOnly",
		body: `{"eventTypes":["matrix"],"interval":"day","from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}`, own: "200", stranger: "200"},
	{method: "POST", path: "/api/v1/reports/breakdown", guard: scoped, lacking: "ingestOnly",
		body: `{"eventType":"matrix","path":"plan","from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}`, own: "200", stranger: "200"},
	{method: "POST", path: "/api/v1/reports/funnel", guard: scoped, lacking: "ingestOnly",
		body: `{"steps":[{"eventType":"matrix"},{"eventType":"matrix"}],"within":{"minutes":60},"from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}`, own: "200", stranger: "200"},
	{method: "POST", path: "/api/v1/reports/retention", guard: scoped, lacking: "ingestOnly",
		body: `{"first":{"eventType":"matrix"},"returning":{"eventType":"matrix"},"period":"day","from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}`, own: "200", stranger: "200"},

	{method: "POST", path: "/api/v1/sql", guard: scoped, lacking: "ingestOnly", body: `{"query":"SELECT event_type FROM events"}`, own: "200", stranger: "200"},
	{method: "GET", path: "/api/v1/sql/schema", guard: scoped, lacking: "ingestOnly", own: "200", stranger: "200"},

	{method: "GET", path: "/api/v1/audiences", guard: scoped, lacking: "narrow", own: "200", stranger: "200"},
	{method: "GET", path: "/api/v1/audiences/{audienceId}", send: "/api/v1/audiences/mine", guard: scoped, lacking: "narrow", own: "200", stranger: "404 not_found"},
	{method: "GET", path: "/api/v1/sends/{sendId}", send: "/api/v1/sends/mine", guard: scoped, lacking: "narrow", own: "200", stranger: "404 not_found"},
	{method: "GET", path: "/api/v1/sends/{sendId}/leads", send: "/api/v1/sends/mine/leads", guard: scoped, lacking: "narrow", own: "200", stranger: "404 not_found"},
	{method: "GET", path: "/api/v1/sends/{sendId}/explain", send: "/api/v1/sends/mine/explain", query: "phone=15551234567", guard: scoped, lacking: "narrow", own: "200", stranger: "404 not_found"},
	{method: "POST", path: "/api/v1/sends/{sendId}/materialize", send: "/api/v1/sends/mine/materialize", guard: scoped, lacking: "narrow", own: "202", stranger: "404 not_found"},
	// Ids are each organization's own: a stranger makes one of that name, and 42's
	// is as it was.
	{method: "PUT", path: "/api/v1/sends/{sendId}", send: "/api/v1/sends/mine", guard: scoped, lacking: "narrow",
		body: `{"audience":{"phones":[]},"eventFilters":[]}`, own: "409 conflict", stranger: "201"},
	{method: "POST", path: "/api/v1/audiences/{audienceId}/leads", send: "/api/v1/audiences/mine/leads", guard: scoped, lacking: "narrow",
		body: `{"leads":[{"phoneE164":"+15551234599"}]}`, own: "200", stranger: "200"},
	{method: "PUT", path: "/api/v1/audiences/{audienceId}/leads", send: "/api/v1/audiences/mine/leads", guard: scoped, lacking: "narrow",
		body: `{"leads":[{"phoneE164":"+15551234567"}]}`, own: "200", stranger: "200"},
	{method: "DELETE", path: "/api/v1/audiences/{audienceId}", send: "/api/v1/audiences/gone", guard: scoped, lacking: "narrow", own: "204", stranger: "404 not_found"},

	{method: "GET", path: organizationsPath, guard: operator, own: "401 unauthenticated", stranger: "401 unauthenticated"},
	{method: "POST", path: organizationsPath, guard: operator, body: `{"name":"made by the matrix"}`, own: "401 unauthenticated", stranger: "401 unauthenticated"},

	{method: "GET", path: organizationsPath + "/{organizationId}/limits", send: organizationsPath + "/42/limits", guard: operator, own: "401 unauthenticated", stranger: "401 unauthenticated"},
	{method: "PUT", path: organizationsPath + "/{organizationId}/limits", send: organizationsPath + "/42/limits", guard: operator, body: `{}`, own: "401 unauthenticated", stranger: "401 unauthenticated"},
	{method: "GET", path: limitsPath, guard: scoped, lacking: "narrow", own: "200", stranger: "200"},

	{method: "GET", path: retentionPath, guard: scoped, lacking: "narrow", own: "200", stranger: "200"},
	{method: "PUT", path: retentionPath, guard: scoped, lacking: "narrow", body: `{"days":36500,"eventTypes":[]}`, own: "200", stranger: "200"},
	{method: "DELETE", path: leadPath, send: "/api/v1/leads/15551234599", guard: scoped, lacking: "narrow", query: "wait=true", own: "200", stranger: "200"},
	{method: "GET", path: leadPath + "/erasure", send: "/api/v1/leads/15551234599/erasure", guard: scoped, lacking: "narrow", own: "200", stranger: "200"},
	{method: "POST", path: leadPath + "/allow", send: "/api/v1/leads/15551234599/allow", guard: scoped, lacking: "narrow", own: "409 conflict", stranger: "409 conflict"},

	{method: "DELETE", path: "/api/v1/batches/{batchId}", guard: scoped, lacking: "narrow", query: "wait=true", own: "200", stranger: "404 not_found"},
	{method: "DELETE", path: "/api/v1/runs/{run}", send: "/api/v1/runs/mine", guard: scoped, lacking: "narrow", query: "wait=true", own: "200", stranger: "404 not_found"},

	{method: "GET", path: webhooksPath, guard: scoped, lacking: "narrow", own: "200", stranger: "200"},
	{method: "PUT", path: webhooksPath, guard: scoped, lacking: "narrow", body: `{"authMode":"api_key"}`, own: "200", stranger: "200"},
	{method: "GET", path: keysPath, guard: scoped, lacking: "narrow", own: "200", stranger: "200"},
	{method: "POST", path: keysPath, guard: scoped, lacking: "narrow", body: `{"name":"made by the matrix"}`, own: "201", stranger: "201"},
	{method: "DELETE", path: keysPath + "/{id}", send: keysPath + "/{ownKey}", guard: scoped, lacking: "narrow", own: "200", stranger: "404 not_found"},
	{method: "GET", path: signingPath, guard: scoped, lacking: "narrow", own: "200", stranger: "200"},
	{method: "POST", path: signingPath, guard: scoped, lacking: "narrow", body: `{"name":"made by the matrix"}`, own: "201", stranger: "201"},
	{method: "DELETE", path: signingPath + "/{id}", send: signingPath + "/{ownSigner}", guard: scoped, lacking: "narrow", own: "200", stranger: "404 not_found"},
	{method: "GET", path: "/api/v1/reconcile", guard: scoped, lacking: "narrow", own: "200", stranger: "200"},
	{method: "GET", path: auditPath, guard: scoped, lacking: "narrow", own: "200", stranger: "200"},
}

// answers is what each credential is answered, by name; "apiKey" is the right one
// of organization 42, in the order in which they are sent.
func (e *entry) answers() (credentials []string, want map[string]string) {
	credentials = []string{"none", "malformed", "revoked", "expired", "hmac", "other", "operator", e.lacking, "second", "apiKey"}
	want = map[string]string{}
	for _, c := range credentials {
		want[c] = "401 unauthenticated"
	}
	switch e.guard {
	case open:
		for _, c := range credentials {
			want[c] = e.own
		}
		return slices.DeleteFunc(credentials, func(c string) bool { return c == "" }), want
	case operator:
		want["operator"] = "200"
		if e.method == http.MethodPost {
			want["operator"] = "201"
		}
		return slices.DeleteFunc(credentials, func(c string) bool { return c == "" }), want
	case scoped:
		// A key of an organization in hmac mode is good for all that is no webhook.
		want["other"] = e.stranger
	}
	want["second"], want["apiKey"] = e.stranger, e.own
	want[e.lacking] = "403 forbidden"
	return credentials, want
}

// known are the entries by endpoint; two of one are a mistake.
func known(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, e := range matrix {
		if name := e.method + " " + e.path; all[name] {
			t.Errorf("the matrix has %s twice", name)
		} else {
			all[name] = true
		}
	}
	return all
}

// An endpoint that the matrix does not have is not let in here either.
func TestTheMatrixHasEveryEndpoint(t *testing.T) {
	all := known(t)
	for path, item := range document(t).Paths.Map() {
		for method := range item.Operations() {
			if !all[method+" "+path] {
				t.Errorf("%s %s is in openapi.yaml and not in the matrix: say there who may call it", method, path)
			}
			delete(all, method+" "+path)
		}
	}
	for name := range all {
		t.Errorf("%s is in the matrix and not in openapi.yaml", name)
	}
}

// Every endpoint with every kind of credential: none, malformed, revoked, expired,
// that of the other auth mode (a signature, hmac, and the key of an organization
// that signs, other), the operator's, one without the scope (named by the entry),
// another organization's (second), and the right one; and none but the right one
// changes anything of the organization's.
func TestEveryEndpointWithEveryCredential(t *testing.T) {
	from, _ := served(t)
	// What organization 42 has, and others ask for.
	own := func(status int, method, path, query, body string) (r administered) {
		t.Helper()
		a := from.sendAgain(method, path, []byte(body), sending{Query: query})
		if a.status != status {
			t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
		}
		_ = json.Unmarshal(a.body, &r) // some have no id
		return r
	}
	for _, audience := range []string{"mine", "gone"} {
		own(200, "PUT", "/api/v1/audiences/"+audience+"/leads", "", `{"leads":[{"phoneE164":"+15551234567"},{"phoneE164":"+15551234568"}]}`)
	}
	if a := from.sendAgain("POST", ingestPath, []byte(`{"organizationId":42,"eventType":"run","events":[{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z"}]}`),
		sending{Headers: map[string]string{"Leadevents-Run": "mine"}}); a.status != 200 {
		t.Fatalf("a call of a run: %d %s", a.status, a.body)
	}
	own(201, "PUT", "/api/v1/sends/mine", "", `{"audience":{"audienceId":"mine"},"eventFilters":[]}`)
	own(200, "POST", "/api/v1/sends/mine/materialize", "wait=true", "")
	from.ids["ownKey"] = own(201, "POST", keysPath, "", `{"name":"to be revoked"}`).ID
	from.ids["ownSigner"] = own(201, "POST", signingPath, "", `{"name":"to be revoked"}`).ID
	for _, id := range []string{"ownKey", "ownSigner"} {
		if from.ids[id] == "" {
			t.Fatalf("%s was not made", id)
		}
	}

	for _, e := range matrix {
		t.Run(e.method+" "+e.path, func(t *testing.T) { e.hold(t, from) })
	}
}

// hold sends the entry's request with each credential.
func (e *entry) hold(t *testing.T, from *sender) {
	path := e.path
	if e.send != "" {
		path = e.send
	}
	path = from.filled(path)
	if strings.Contains(path, "{") {
		t.Fatalf("%s has a parameter without a value", path)
	}
	try := func(credential, body, want string) {
		t.Helper()
		a := from.sendAgain(e.method, path, []byte(body), sending{Query: e.query, Credential: credential})
		got := fmt.Sprint(a.status)
		var failed struct{ Error struct{ Code string } }
		if json.Unmarshal(a.body, &failed) == nil && failed.Error.Code != "" {
			got += " " + failed.Error.Code
		}
		if credential != "apiKey" && e.guard != open && a.status < 300 {
			for _, own := range []string{from.batch, from.ids["ownKey"], from.ids["ownSigner"], `"gone"`} {
				if own != "" && strings.Contains(string(a.body), own) {
					t.Errorf("with %s: the answer has %s, which is organization %d's: %.300s", credential, own, keyOrg, a.body)
				}
			}
		}
		if got != want {
			t.Errorf("with %s: %s %.300s; want %s", credential, got, a.body, want)
		}
	}
	before := from.holdings()
	credentials, want := e.answers()
	for _, credential := range credentials {
		if credential == "apiKey" {
			if diff := gocmp.Diff(before, from.holdings()); diff != "" {
				t.Errorf("others changed what organization %d has (before -, after +):\n%s", keyOrg, diff)
			}
		}
		try(credential, e.body, want[credential])
	}
	if e.guard == webhook { // the organization that signs
		signed := strings.Replace(e.body, "42", "43", 1)
		for credential, want := range map[string]string{"hmac": "200", "badSignature": "401 unauthenticated", "other": "401 unauthenticated", "none": "401 unauthenticated"} {
			try(credential, signed, want)
		}
	}
}

// use is what looking at a key changes of it.
var use = regexp.MustCompile(`"(lastUsedAt|uses)":[^,]*,`)

// holdings is all that organization 42 can see of what it has.
func (s *sender) holdings() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, path := range []string{"/api/v1/batches", "/api/v1/audiences", "/api/v1/sends/mine", "/api/v1/sends/mine/leads", webhooksPath, limitsPath, keysPath, signingPath} {
		a := s.sendAgain(http.MethodGet, path, nil, sending{})
		if a.status != http.StatusOK {
			s.t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		all[path] = use.ReplaceAllString(string(a.body), "")
	}
	return all
}
