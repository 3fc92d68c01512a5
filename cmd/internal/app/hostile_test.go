package app

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// attempt is something that an organization tries with what is another's: the request
// with {id} in it is sent once with theirs and once with what is nobody's, of the same
// shape, and nobody can tell the answers apart. Without {id} it is sent once, and its
// answer has nothing of theirs.
type attempt struct {
	method, path string // as in openapi.yaml
	send         string // the path with its parameters, if it has any
	query, body  string
	headers      map[string]string
	credential   string // "": the attacker's first key, which may do all
	theirs       string // a name in realm.has, or the thing itself
	nobody       string
	want         int
}

const (
	theirPhone   = "12025550101"
	nobodysPhone = "12025550199"

	theirOtherPhone   = "12025550102"
	nobodysOtherPhone = "12025550198"
)

// attempts stand in the order in which they are sent: what asks first, then what
// makes something under a name that is theirs too.
var attempts = []attempt{
	{method: "GET", path: "/livez", want: 200},
	{method: "GET", path: "/readyz", want: 200},
	{method: "GET", path: "/metrics", want: 200},
	{method: "GET", path: "/api/v1/openapi.yaml", want: 200},

	// Lists, whole and from a place that is theirs.
	{method: "GET", path: "/api/v1/batches", want: 200},
	{method: "GET", path: "/api/v1/batches", query: "keyId={id}", theirs: "actor", nobody: "zzzzzzzzzz", want: 200},
	{method: "GET", path: "/api/v1/batches", query: "bodySha256={id}", theirs: "hash", nobody: strings.Repeat("0f", 32), want: 200},
	{method: "GET", path: "/api/v1/batches", query: "cursor={id}", theirs: "batches cursor", nobody: "YjEuNDIuMTc3ODYxMDg0MDAwMC4x", want: 400},
	{method: "GET", path: "/api/v1/batches", query: "cursor={id}", theirs: "audiences cursor", nobody: "YTEuNDIuY3VzdG9tZXJz", want: 400},
	{method: "GET", path: "/api/v1/batches", query: "run={id}", theirs: "run-1202", nobody: "run-1999", want: 200},
	{method: "GET", path: "/api/v1/runs", want: 200},
	{method: "GET", path: "/api/v1/runs", query: "cursor={id}", theirs: "batches cursor", nobody: "YjEuNDIuMTc3ODYxMDg0MDAwMC4x", want: 400},
	{method: "GET", path: "/api/v1/runs/{run}", send: "/api/v1/runs/{id}", theirs: "run-1202", nobody: "run-1999", want: 404},
	{method: "DELETE", path: "/api/v1/runs/{run}", send: "/api/v1/runs/{id}", query: "force=true", theirs: "run-1202", nobody: "run-1999", want: 404},
	{method: "GET", path: "/api/v1/audiences", want: 200},
	{method: "GET", path: "/api/v1/audiences", query: "cursor={id}", theirs: "audiences cursor", nobody: "YTEuNDQuY3VzdG9tZXJz", want: 400},
	{method: "GET", path: "/api/v1/event-types", want: 200},
	{method: "GET", path: eventsPath, query: "limit=10000", want: 200},
	{method: "GET", path: eventsPath, query: "format=ndjson", want: 200},
	{method: "GET", path: eventsPath, query: "format=csv", want: 200},
	{method: "GET", path: eventsPath, query: "eventType={id}", theirs: "only_theirs", nobody: "nobodys_typ", want: 200},
	{method: "GET", path: eventsPath, query: "phone=%2B{id}", theirs: theirPhone, nobody: nobodysPhone, want: 200},
	{method: "GET", path: eventsPath, query: "where=%5B%7B%22path%22:%22plan%22,%22op%22:%22eq%22,%22value%22:%22{id}%22%7D%5D", theirs: "1202", nobody: "1999", want: 200},
	{method: "GET", path: eventsPath, query: "cursor={id}", theirs: "events cursor", nobody: "ZTEwMDAwMDAwMDAwMDAwMDAwLjQ0LjEuMS5h", want: 400},
	{method: "GET", path: "/api/v1/leads/{phone}/events", send: "/api/v1/leads/{id}/events", theirs: theirPhone, nobody: nobodysPhone, want: 200},
	{method: "GET", path: "/api/v1/leads/{phone}/events", send: "/api/v1/leads/{id}/events", query: "format=ndjson", theirs: theirPhone, nobody: nobodysPhone, want: 200},
	{method: "GET", path: "/api/v1/leads/{phone}/events", send: "/api/v1/leads/" + sharedPhone + "/events", query: "eventType={id}", theirs: "only_theirs", nobody: "nobodys_typ", want: 200},
	{method: "GET", path: "/api/v1/leads/{phone}/events", send: "/api/v1/leads/" + sharedPhone + "/events", query: "where=%5B%7B%22path%22:%22plan%22,%22op%22:%22eq%22,%22value%22:%22{id}%22%7D%5D", theirs: "1202", nobody: "1999", want: 200},
	{method: "GET", path: "/api/v1/leads/{phone}/events", send: "/api/v1/leads/" + sharedPhone + "/events", query: "cursor={id}", theirs: "events cursor", nobody: "ZTEwMDAwMDAwMDAwMDAwMDAwLjQ0LjEuMS5h", want: 400},
	{method: "GET", path: auditPath, want: 200},
	{method: "GET", path: auditPath, query: "actor={id}", theirs: "actor", nobody: "zzzzzzzzzz", want: 200},
	{method: "GET", path: auditPath, query: "cursor={id}", theirs: "audit cursor", nobody: "bDEuNDQuMTc3ODYxMDg0MDAwMC4x", want: 400},
	{method: "POST", path: "/api/v1/reports/timeseries", body: `{"eventTypes":["{id}"],"interval":"day","from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}`, theirs: "only_theirs", nobody: "nobodys_typ", want: 200},
	{method: "POST", path: "/api/v1/reports/breakdown", body: `{"eventType":"{id}","path":"plan","from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}`, theirs: "only_theirs", nobody: "nobodys_typ", want: 200},
	{method: "POST", path: "/api/v1/reports/funnel", body: `{"steps":[{"eventType":"{id}"},{"eventType":"{id}"}],"within":{"minutes":60},"from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}`, theirs: "only_theirs", nobody: "nobodys_typ", want: 200},
	{method: "POST", path: "/api/v1/reports/retention", body: `{"first":{"eventType":"{id}"},"returning":{"eventType":"{id}"},"period":"day","from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}`, theirs: "only_theirs", nobody: "nobodys_typ", want: 200},
	{method: "GET", path: webhooksPath, want: 200},
	{method: "GET", path: keysPath, want: 200},
	{method: "GET", path: signingPath, want: 200},
	{method: "GET", path: limitsPath, want: 200},
	{method: "GET", path: organizationsPath, want: 401},
	{method: "GET", path: organizationsPath + "/{organizationId}/limits", send: organizationsPath + "/{id}/limits", theirs: "42", nobody: "44", want: 401},
	{method: "PUT", path: organizationsPath + "/{organizationId}/limits", send: organizationsPath + "/{id}/limits", body: `{"rowsPerSecond":1}`, theirs: "42", nobody: "44", want: 401},

	// By id.
	{method: "GET", path: "/api/v1/batches/{batchId}", send: "/api/v1/batches/{id}", theirs: "batch", nobody: "4611686018427387904", want: 404},
	{method: "DELETE", path: "/api/v1/batches/{batchId}", send: "/api/v1/batches/{id}", query: "force=true", theirs: "batch", nobody: "4611686018427387904", want: 404},
	{method: "GET", path: "/api/v1/batches/{batchId}/rejects", send: "/api/v1/batches/{id}/rejects", theirs: "batch", nobody: "4611686018427387904", want: 404},
	{method: "GET", path: "/api/v1/audiences/{audienceId}", send: "/api/v1/audiences/{id}", theirs: "private", nobody: "notheir", want: 404},
	{method: "DELETE", path: "/api/v1/audiences/{audienceId}", send: "/api/v1/audiences/{id}", theirs: "private", nobody: "notheir", want: 404},
	{method: "GET", path: "/api/v1/sends/{sendId}", send: "/api/v1/sends/{id}", theirs: "secret", nobody: "nosend", want: 404},
	{method: "POST", path: "/api/v1/sends/{sendId}/materialize", send: "/api/v1/sends/{id}/materialize", theirs: "secret", nobody: "nosend", want: 404},
	{method: "POST", path: "/api/v1/sends/{sendId}/materialize", send: "/api/v1/sends/{id}/materialize", query: "wait=true", theirs: "secret", nobody: "nosend", want: 404},
	{method: "GET", path: "/api/v1/sends/{sendId}/leads", send: "/api/v1/sends/{id}/leads", theirs: "secret", nobody: "nosend", want: 404},
	{method: "GET", path: "/api/v1/sends/{sendId}/leads", send: "/api/v1/sends/{id}/leads", query: "format=parquet", theirs: "secret", nobody: "nosend", want: 404},
	{method: "GET", path: "/api/v1/sends/{sendId}/explain", send: "/api/v1/sends/{id}/explain", query: "phone=" + sharedPhone, theirs: "secret", nobody: "nosend", want: 404},
	{method: "DELETE", path: keysPath + "/{id}", send: keysPath + "/{id}", theirs: "key", nobody: "zzzzzzzzzz", want: 404},
	{method: "DELETE", path: keysPath + "/{id}", send: keysPath + "/{id}", query: "force=true", theirs: "actor", nobody: "zzzzzzzzzz", want: 404},
	{method: "DELETE", path: keysPath + "/{id}", send: keysPath + "/{id}", theirs: "prefix", nobody: "le_zzzzzzzzzz", want: 404},
	{method: "DELETE", path: keysPath + "/{id}", send: keysPath + "/{id}", theirs: "signer", nobody: "zzzzzzzzzz", want: 404},
	{method: "DELETE", path: signingPath + "/{id}", send: signingPath + "/{id}", theirs: "signer", nobody: "zzzzzzzzzz", want: 404},
	{method: "DELETE", path: signingPath + "/{id}", send: signingPath + "/{id}", theirs: "key", nobody: "zzzzzzzzzz", want: 404},

	// What is in an audience, an event or a list, by asking one's own.
	{method: "GET", path: "/api/v1/sends/{sendId}/explain", send: "/api/v1/sends/spring/explain", query: "phone={id}", theirs: theirPhone, nobody: nobodysPhone, want: 200},
	{method: "POST", path: "/api/v1/filters/preview", body: `{"audience":{"audienceId":"{id}"},"eventFilters":[]}`, theirs: "private", nobody: "notheir", want: 404},
	{method: "POST", path: "/api/v1/filters/preview", body: `{"audience":{"eventType":"{id}"},"eventFilters":[],"fireAt":"2026-06-01T00:00:00Z"}`, theirs: "only_theirs", nobody: "nobodys_typ", want: 200},
	{method: "POST", path: "/api/v1/filters/preview", body: `{"audience":{"phones":["+{id}"]},"eventFilters":[{"mode":"include","eventType":"webinar_joined"}],"fireAt":"2026-06-01T00:00:00Z"}`, theirs: theirPhone, nobody: nobodysPhone, want: 200},
	{method: "POST", path: "/api/v1/filters/preview", body: `{"audience":{"phones":["+{id}"]},"eventFilters":[{"mode":"include","eventType":"webinar_joined","minCount":2},{"mode":"exclude","eventType":"only_theirs","within":{"minutes":5256000}}],"fireAt":"2026-06-01T00:00:00Z"}`, theirs: theirPhone, nobody: nobodysPhone, want: 200},
	{method: "POST", path: "/api/v1/filters/preview", body: `{"audience":{"allLeads":true},"eventFilters":[{"mode":"include","eventType":"webinar_joined","where":[{"path":"plan","op":"eq","value":"{id}"}]}],"fireAt":"2026-06-01T00:00:00Z"}`, theirs: "1202", nobody: "1999", want: 200},
	{method: "POST", path: "/api/v1/filters/preview", body: `{"audience":{"allLeads":true},"eventFilters":[],"fireAt":"2026-06-01T00:00:00Z"}`, want: 200},

	// By SQL; testdata/hostile.sql has more.
	{method: "POST", path: "/api/v1/sql", query: "format=ndjson", body: `{"query":"SELECT count() AS n FROM events WHERE phone = {id}"}`, theirs: theirPhone, nobody: nobodysPhone, want: 200},
	{method: "POST", path: "/api/v1/sql", query: "format=csv", body: `{"query":"SELECT count() AS n FROM events WHERE event_type = {t:String}","params":{"t":"{id}"}}`, theirs: "only_theirs", nobody: "nobodys_typ", want: 200},
	{method: "POST", path: "/api/v1/sql", query: "format=ndjson", body: `{"query":"SELECT * FROM events WHERE batch_id = {id}"}`, theirs: "batch", nobody: "4611686018427387904", want: 200},
	{method: "POST", path: "/api/v1/sql", query: "format={id}", body: `{"query":"SELECT 1"}`, theirs: "only_theirs", nobody: "nobodys_typ", want: 400},
	{method: "POST", path: "/api/v1/sql", body: `{"query":"SELECT * FROM events WHERE organization_id = {id}"}`, theirs: "42", nobody: "44", want: 400},
	{method: "GET", path: "/api/v1/sql/schema", want: 200},

	// In another's name.
	{method: "POST", path: ingestPath, body: `{"organizationId":{id},"eventType":"webinar_joined","events":[{"phoneE164":"+15551230000","occurredAt":"2026-05-12T18:34:00Z"}]}`, theirs: "42", nobody: "44", want: 403},
	{method: "POST", path: ingestPath, query: "dryRun=true", body: `{"organizationId":{id},"eventType":"webinar_joined","events":[]}`, theirs: "42", nobody: "44", want: 400},
	{method: "POST", path: ingestPath, body: `{"organizationId":{id},"eventType":"webinar_joined","events":[{"phoneE164":"+15551230000","occurredAt":"2026-05-12T18:34:00Z"}]}`, theirs: "43", nobody: "44", want: 403},
	{method: "POST", path: ingestPath, credential: "hmac", body: `{"organizationId":{id},"eventType":"webinar_joined","events":[{"phoneE164":"+15551230000","occurredAt":"2026-05-12T18:34:00Z"}]}`, theirs: "42", nobody: "44", want: 401},
	{method: "POST", path: "/api/v1/webhooks/campaigns/audience-filter", body: `{"organizationId":{id},"campaignId":"c-1202","sendId":"draft","mode":"include","leads":[]}`, theirs: "42", nobody: "44", want: 403},
	{method: "POST", path: "/api/v1/webhooks/campaigns/audience-filter", credential: "hmac", body: `{"organizationId":{id},"campaignId":"c-1202","sendId":"draft","mode":"include","leads":[]}`, theirs: "42", nobody: "44", want: 401},
	{method: "POST", path: organizationsPath, body: `{"name":"mine now","organizationId":{id}}`, theirs: "42", nobody: "44", want: 401},
	{method: "PUT", path: webhooksPath, body: `{"authMode":"api_key","organizationId":{id}}`, theirs: "42", nobody: "44", want: 400},
	{method: "POST", path: keysPath, body: `{"name":"k","organizationId":{id}}`, theirs: "42", nobody: "44", want: 400},
	{method: "POST", path: signingPath, body: `{"name":"k","organizationId":{id}}`, theirs: "42", nobody: "44", want: 400},

	// Events that are theirs already are new here, whatever Redis remembers.
	{method: "POST", path: ingestPath, query: "dryRun=true", body: `{"organizationId":45,"eventType":"webinar_joined","events":[{"phoneE164":"+{id}","occurredAt":"2026-05-02T18:34:00Z"}]}`, theirs: theirPhone, nobody: nobodysPhone, want: 200},
	{method: "POST", path: ingestPath, body: `{"organizationId":45,"eventType":"webinar_joined","events":[{"phoneE164":"+{id}","occurredAt":"2026-05-02T18:34:00Z"}]}`, theirs: theirPhone, nobody: nobodysPhone, want: 200},
	{method: "POST", path: ingestPath, body: `{"organizationId":45,"eventType":"{id}","events":[{"phoneE164":"+15551230000","occurredAt":"2026-05-01T18:34:00Z"}]}`, theirs: "only_theirs", nobody: "nobodys_typ", want: 200},
	{method: "GET", path: "/api/v1/batches", query: "idempotencyKey={id}", theirs: "theirs-1", nobody: "nobody-1", want: 200},
	{method: "GET", path: "/api/v1/batches", query: "eventType={id}", theirs: "theirs_alone", nobody: "nobody_alone", want: 200},
	{method: "POST", path: ingestPath, headers: map[string]string{"Leadevents-Run": "{id}"}, body: `{"organizationId":45,"eventType":"y{id}","events":[{"phoneE164":"+15551230000","occurredAt":"2026-05-01T18:34:00Z"}]}`, theirs: "run-1202", nobody: "run-1999", want: 200},
	{method: "POST", path: ingestPath, headers: map[string]string{"Idempotency-Key": "{id}"}, body: `{"organizationId":45,"eventType":"x{id}","events":[{"phoneE164":"+15551230000","occurredAt":"2026-05-01T18:34:00Z"}]}`, theirs: "theirs-1", nobody: "nobody-1", want: 200},
	{method: "GET", path: "/api/v1/reconcile", query: "organizationId={id}", theirs: "42", nobody: "44", want: 400},

	// Names that are theirs are free here.
	{method: "PUT", path: "/api/v1/sends/{sendId}", send: "/api/v1/sends/try-{id}", body: `{"audience":{"audienceId":"{id}"},"eventFilters":[]}`, theirs: "private", nobody: "notheir", want: 404},
	{method: "PUT", path: "/api/v1/sends/{sendId}", send: "/api/v1/sends/{id}", body: `{"campaignId":"c-1202","audience":{"eventType":"only_theirs"},"eventFilters":[]}`, theirs: "secret", nobody: "nosend", want: 201},
	{method: "POST", path: "/api/v1/webhooks/campaigns/audience-filter", body: `{"organizationId":45,"campaignId":"c-1202","sendId":"{id}","mode":"include","leads":[{"externalId":"crm-theirs"}]}`, theirs: "secret", nobody: "nosend", want: 200},
	{method: "POST", path: "/api/v1/webhooks/campaigns/audience-filter", body: `{"organizationId":45,"campaignId":"{id}","sendId":"list-{id}","mode":"exclude","leads":[{"phoneE164":"+12025550101"}]}`, theirs: "c-1202", nobody: "c-1999", want: 200},
	{method: "POST", path: "/api/v1/sends/{sendId}/materialize", send: "/api/v1/sends/{id}/materialize", query: "wait=true", theirs: "secret", nobody: "nosend", want: 200},
	{method: "GET", path: "/api/v1/sends/{sendId}/leads", send: "/api/v1/sends/{id}/leads", theirs: "secret", nobody: "nosend", want: 200},
	{method: "PUT", path: "/api/v1/audiences/{audienceId}/leads", send: "/api/v1/audiences/{id}/leads", body: `{"leads":[{"phoneE164":"+15551230000","externalId":"crm-theirs"}]}`, theirs: "private", nobody: "notheir", want: 200},
	{method: "POST", path: "/api/v1/audiences/{audienceId}/leads", send: "/api/v1/audiences/{id}/leads", body: `{"leads":[{"phoneE164":"+12025550101","externalId":"crm-theirs"}]}`, theirs: "private", nobody: "notheir", want: 200},
	{method: "POST", path: "/api/v1/filters/preview", body: `{"audience":{"audienceId":"{id}"},"eventFilters":[],"fireAt":"2026-06-01T00:00:00Z"}`, theirs: "private", nobody: "notheir", want: 200},
	{method: "DELETE", path: "/api/v1/audiences/{audienceId}", send: "/api/v1/audiences/{id}", theirs: "private", nobody: "notheir", want: 204},

	// Who is erased is each organization's own affair: what is theirs stays, and whether
	// they have it does not show.
	{method: "GET", path: retentionPath, want: 200},
	{method: "PUT", path: retentionPath, body: `{"days":36500,"eventTypes":[{"eventType":"{id}","days":36500}]}`, theirs: "only_theirs", nobody: "nobodys_typ", want: 200},
	{method: "GET", path: leadPath + "/erasure", send: "/api/v1/leads/{id}/erasure", theirs: theirOtherPhone, nobody: nobodysOtherPhone, want: 404},
	{method: "POST", path: leadPath + "/allow", send: "/api/v1/leads/{id}/allow", theirs: theirOtherPhone, nobody: nobodysOtherPhone, want: 404},
	{method: "DELETE", path: leadPath, send: "/api/v1/leads/{id}", query: "wait=true", theirs: theirOtherPhone, nobody: nobodysOtherPhone, want: 200},
	{method: "GET", path: leadPath + "/erasure", send: "/api/v1/leads/{id}/erasure", theirs: theirOtherPhone, nobody: nobodysOtherPhone, want: 200},
	{method: "POST", path: leadPath + "/allow", send: "/api/v1/leads/{id}/allow", theirs: theirOtherPhone, nobody: nobodysOtherPhone, want: 409},
	{method: "POST", path: ingestPath, body: `{"organizationId":45,"eventType":"webinar_joined","events":[{"phoneE164":"+{id}","occurredAt":"2026-05-02T18:34:00Z"}]}`, theirs: theirOtherPhone, nobody: nobodysOtherPhone, want: 200},
}

// harmless are parameters that name nothing which anybody has.
var harmless = map[string]bool{
	"X-Request-Id": true, "limit": true, "from": true, "to": true, "state": true, "action": true, "format": true,
	"wait": true, "force": true, "dryRun": true, "Content-Encoding": true, "X-Setter-Timestamp": true,
}

// An endpoint, or a parameter of one, that nobody attempts is not let in here.
func TestEveryWayIsAttempted(t *testing.T) {
	tried := map[string]bool{}
	for _, a := range attempts {
		tried[a.method+" "+a.path] = true
		if strings.Contains(a.send, "{id}") {
			tried[a.method+" "+a.path+" path"] = true
		}
		for pair := range strings.SplitSeq(a.query, "&") {
			if name, value, _ := strings.Cut(pair, "="); strings.Contains(value, "{id}") {
				tried[a.method+" "+a.path+" "+name] = true
			}
		}
		for name, value := range a.headers {
			if strings.Contains(value, "{id}") {
				tried[a.method+" "+a.path+" "+name] = true
			}
		}
	}
	for path, item := range document(t).Paths.Map() {
		for method, operation := range item.Operations() {
			name := method + " " + path
			if !tried[name] {
				t.Errorf("%s: what may a stranger learn or change by it? Say so in attempts", name)
			}
			for _, p := range operation.Parameters {
				what := p.Value.Name
				if p.Value.In == openapi3.ParameterInPath {
					what = "path"
				}
				if !harmless[p.Value.Name] && !tried[name+" "+what] {
					t.Errorf("%s: nobody attempts its parameter %s with what is another's", name, p.Value.Name)
				}
			}
		}
	}
}

// With all that organization 45 may do it reads, changes and infers nothing of 42's.
func TestAHostileOrganizationIsAlone(t *testing.T) {
	from, settings := served(t)
	victim := from.found(keyOrg, "apiKey", "1202")
	attacker := from.found(nextOrg, "second", "1303")
	// What only the victim has.
	own := func(status int, method, path, query, body string, headers map[string]string) {
		t.Helper()
		if a := from.sendAgain(method, path, []byte(body), sending{Query: query, Headers: headers}); a.status != status {
			t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
		}
	}
	own(200, "PUT", "/api/v1/audiences/private/leads", "", `{"leads":[{"phoneE164":"+12025550101","externalId":"crm-theirs"}]}`, nil)
	own(201, "PUT", "/api/v1/sends/secret", "", `{"audience":{"audienceId":"private"},"eventFilters":[]}`, nil)
	own(200, "POST", "/api/v1/sends/secret/materialize", "wait=true", "", nil)
	own(200, "POST", ingestPath, "", `{"organizationId":42,"eventType":"only_theirs","events":[{"phoneE164":"+12025550101","occurredAt":"2026-05-01T18:34:00Z"}]}`, nil)
	own(200, "POST", ingestPath, "", `{"organizationId":42,"eventType":"theirs_alone","events":[{"phoneE164":"+12025550101","occurredAt":"2026-05-01T18:34:00Z"}]}`, map[string]string{"Idempotency-Key": "theirs-1"})
	own(200, "POST", "/api/v1/webhooks/campaigns/audience-filter", "", `{"organizationId":42,"campaignId":"c","sendId":"early-theirs","mode":"include","leads":[{"externalId":"crm-theirs"}]}`, nil)

	// None of this is in any answer that did not ask for it.
	secrets := []string{
		victim.phones[1], victim.phones[2], victim.has["batch"], victim.has["key"], victim.has["signer"], victim.has["actor"], victim.has["request"],
		"c-1202", "key of 1202", "signer of 1202", `"plan":"1202"`, "only_theirs", "theirs_alone", "theirs-1", "crm-theirs", "early-theirs", "private", "secret", "by key",
	}
	sent := ""
	eventually(t, "what the realm's sends have left behind is gone", func() bool {
		one, two := rowsOf(t, settings, victim.org), rowsOf(t, settings, victim.org)
		return fmt.Sprint(one) == fmt.Sprint(two)
	})
	before := from.holds(victim, settings)
	for _, a := range attempts {
		t.Run(a.method+" "+a.path+" "+a.query, func(t *testing.T) {
			ask := func(id string) string {
				headers := map[string]string{}
				for name, value := range a.headers {
					headers[name] = strings.ReplaceAll(value, "{id}", id)
				}
				path, body, query := a.send, strings.ReplaceAll(a.body, "{id}", id), strings.ReplaceAll(a.query, "{id}", id)
				if path == "" {
					path = a.path
				}
				credential := a.credential
				if credential == "" {
					credential = attacker.credential
				}
				path = strings.ReplaceAll(path, "{id}", id)
				sent += path + body + query
				got := from.sendAgain(a.method, path, []byte(body), sending{Credential: credential, Query: query, Headers: headers})
				if got.status != a.want {
					t.Errorf("%s: %d %.300s; want %d", id, got.status, got.body, a.want)
				}
				for _, secret := range secrets {
					if a.path != "/api/v1/openapi.yaml" && !strings.Contains(sent, secret) && strings.Contains(string(got.body), secret) {
						t.Errorf("the answer has %q, which is another's: %.500s", secret, got.body)
					}
				}
				return plain(got, id)
			}
			if a.theirs == "" {
				ask("")
				return
			}
			theirs := victim.has[a.theirs]
			if theirs == "" {
				theirs = a.theirs
			}
			nobodys := ask(a.nobody)
			if got := ask(theirs); got != nobodys {
				t.Errorf("%s and %s are told apart:\n%s\n%s", theirs, a.nobody, got, nobodys)
			}
		})
	}
	untouched(t, before, from.holds(victim, settings))

	// A cursor with the attacker's own number and the victim's place in it is the
	// attacker's own: it leads nowhere else.
	for list, name := range map[string]string{"/api/v1/batches": "batches cursor", "/api/v1/audiences": "audiences cursor", auditPath: "audit cursor", eventsPath: "events cursor"} {
		text, err := base64.RawURLEncoding.DecodeString(victim.has[name])
		if err != nil || !strings.Contains(string(text), ".42.") {
			t.Fatalf("%s: %q, %v", name, text, err)
		}
		forged := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(text), ".42.", ".45.", 1)))
		a := from.sendAgain(http.MethodGet, list, nil, sending{Credential: attacker.credential, Query: "limit=1000&cursor=" + forged})
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", list, a.status, a.body)
		}
		for _, secret := range []string{victim.has["batch"], victim.has["key"], victim.has["actor"], victim.has["request"]} {
			if strings.Contains(string(a.body), secret) {
				t.Errorf("%s by a forged cursor has %s: %s", list, secret, a.body)
			}
		}
	}
	untouched(t, before, from.holds(victim, settings))
}
