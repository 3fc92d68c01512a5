package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"leadevents"
	"leadevents/clickhouse"
	"leadevents/configs"
)

// sendShown is a send as the API shows it, an error among them.
type sendShown struct {
	SendID, Status, CampaignID, Error string
	Total, Kept                       *uint64
	Dropped                           *droppedShown
	FireAt, MaterializedAt, AsOf      *string
	AudienceFilter                    *struct {
		Mode      string
		LeadCount uint64
	}
	Progress   *struct{ Done, Of int }
	InAudience bool
}

type droppedShown struct {
	AudienceFilter uint64
	EventFilters   []uint64
}

// refused is an answer that is an error.
type refused struct {
	Error struct{ Code, Message string }
}

func (s *sender) do(method, path string, body any, x sending, status int, into any) answered {
	s.t.Helper()
	var text []byte
	switch body := body.(type) {
	case nil:
	case string:
		text = []byte(body)
	default:
		text, _ = json.Marshal(body)
	}
	a := s.send(method, path, text, x)
	if a.status != status {
		s.t.Fatalf("%s %s: %d %.400s; want %d", method, path, a.status, a.body, status)
	}
	if into != nil {
		if err := json.Unmarshal(a.body, into); err != nil {
			s.t.Fatalf("%s %s: %.300s: %v", method, path, a.body, err)
		}
	}
	return a
}

// refusal sends what must be refused, and returns the message.
func (s *sender) refusal(method, path string, body any, x sending, status int, code string) string {
	s.t.Helper()
	var r refused
	s.do(method, path, body, x, status, &r)
	if r.Error.Code != code {
		s.t.Errorf("%s %s: code %s (%s), want %s", method, path, r.Error.Code, r.Error.Message, code)
	}
	return r.Error.Message
}

func (s *sender) materialize(id string) sendShown {
	s.t.Helper()
	var send sendShown
	s.do(http.MethodPost, "/api/v1/sends/"+id+"/materialize", nil, sending{Query: "wait=true"}, http.StatusOK, &send)
	if send.Status != "materialized" {
		s.t.Fatalf("%+v", send)
	}
	sum := *send.Kept + send.Dropped.AudienceFilter
	for _, n := range send.Dropped.EventFilters {
		sum += n
	}
	if sum != *send.Total {
		s.t.Fatalf("kept and dropped sum to %d, total is %d", sum, *send.Total)
	}
	return send
}

func (s *sender) leads(id, format string) string {
	s.t.Helper()
	a := s.do(http.MethodGet, "/api/v1/sends/"+id+"/leads", nil, sending{Query: "format=" + format}, http.StatusOK, nil)
	return string(a.body)
}

// phoneOf is the i-th lead of the tests.
func phoneOf(i int) string { return fmt.Sprintf("+1555%07d", i) }

// stored ingests an event of each lead.
func (s *sender) stored(eventType string, at time.Time, metadata string, leads ...int) {
	s.t.Helper()
	rows := make([]string, len(leads))
	for i, lead := range leads {
		rows[i] = rowOf(`"`+phoneOf(lead)+`"`, `"`+at.UTC().Format(time.RFC3339Nano)+`"`, metadata)
	}
	a, _ := s.ingest(callBody(eventType, rows...), sending{})
	if a.status != http.StatusOK {
		s.t.Fatalf("%d %s", a.status, a.body)
	}
}

// put replaces an audience by these leads, each with its externalId.
func (s *sender) put(t *testing.T, id string, leads ...int) {
	t.Helper()
	body := "phoneE164,externalId\n"
	for _, i := range leads {
		body += fmt.Sprintf("%s,crm-%d\n", phoneOf(i), i)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.base+"/api/v1/audiences/"+id+"/leads", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "text/csv")
	s.credentials["apiKey"](request.Header, nil)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("upload: %d", response.StatusCode)
	}
}

func phonesOf(leads ...int) map[string]any {
	phones := make([]string, len(leads))
	for i, l := range leads {
		phones[i] = phoneOf(l)
	}
	return map[string]any{"phones": phones}
}

type object = map[string]any

func filterOf(mode, eventType string) object { return object{"mode": mode, "eventType": eventType} }

// A campaign from its definition to its explanations, over a stored audience.
func TestASendFromItsDefinitionToItsExplanations(t *testing.T) {
	from, _ := served(t)
	fire := time.Date(2026, 5, 12, 19, 0, 0, 0, time.UTC)
	from.put(t, "everybody", 1, 2, 3, 4, 5, 6)
	from.stored("bought", fire.AddDate(-1, 0, 0), `{"amount":10}`, 1)
	from.stored("attended", fire.Add(-2*time.Hour), `{}`, 1, 2, 3, 5)
	from.stored("attended", fire.Add(-2*time.Hour-time.Millisecond), `{}`, 4)
	definition := object{
		"campaignId": "spring", "audience": object{"audienceId": "everybody"}, "fireAt": "2026-05-12T21:00:00+02:00",
		"eventFilters": []any{filterOf("exclude", "bought"), object{"mode": "include", "eventType": "attended", "within": object{"minutes": 120}}},
	}
	const path = "/api/v1/sends/spring.1"
	from.refusal(http.MethodGet, path, nil, sending{}, http.StatusNotFound, "not_found")
	from.refusal(http.MethodPost, path+"/materialize", nil, sending{}, http.StatusNotFound, "not_found")

	// The list filter comes first, and does not define the send.
	list := func(mode string, leads ...object) object {
		return object{"organizationId": 42, "campaignId": "spring", "sendId": "spring.1", "mode": mode, "leads": append([]object{}, leads...)}
	}
	const webhook = "/api/v1/webhooks/campaigns/audience-filter"
	filtered := func(body object, credential, status string, count uint64) {
		t.Helper()
		var r struct {
			Status    string
			LeadCount uint64
		}
		from.do(http.MethodPost, webhook, body, sending{Credential: credential}, http.StatusOK, &r)
		if r.Status != status || r.LeadCount != count {
			t.Fatalf("%+v, want %s of %d", r, status, count)
		}
	}
	filtered(list("include", object{"externalId": "crm-2"}), "", "accepted", 1)
	from.refusal(http.MethodGet, path, nil, sending{}, http.StatusNotFound, "not_found")
	from.do(http.MethodPut, path, definition, sending{}, http.StatusCreated, nil)
	var draft sendShown
	from.do(http.MethodPut, path, definition, sending{}, http.StatusOK, &draft)
	if draft.Status != "draft" || draft.AudienceFilter == nil || draft.AudienceFilter.LeadCount != 1 || draft.Total != nil {
		t.Errorf("%+v", draft)
	}
	for _, sub := range []string{"/leads", "/explain?phone=15550000001"} {
		sub, query, _ := strings.Cut(sub, "?")
		from.refusal(http.MethodGet, path+sub, nil, sending{Query: query}, http.StatusConflict, "conflict")
	}
	// Replaced: the latest wins. By externalId or phone, each lead once.
	excluded := list("exclude", object{"externalId": "crm-3"}, object{"phoneE164": "1 (555) 000-0006"}, object{"externalId": "CRM-5"}, object{"externalId": "crm-3"})
	filtered(excluded, "ingestOnly", "accepted", 3)
	filtered(excluded, "", "already_received", 3)

	var preview struct {
		Total, Kept uint64
		Dropped     droppedShown
		FireAt      string
	}
	from.do(http.MethodPost, "/api/v1/filters/preview", object{"audience": definition["audience"], "eventFilters": definition["eventFilters"], "fireAt": definition["fireAt"]},
		sending{Credential: "narrow"}, http.StatusOK, &preview)
	if preview.Total != 6 || preview.Kept != 3 || preview.Dropped.EventFilters[0] != 1 || preview.Dropped.EventFilters[1] != 2 || preview.FireAt != "2026-05-12T19:00:00.000Z" {
		t.Errorf("%+v", preview)
	}

	send := from.materialize("spring.1")
	if *send.Total != 6 || *send.Kept != 2 || send.Dropped.AudienceFilter != 2 || send.Dropped.EventFilters[0] != 1 || send.Dropped.EventFilters[1] != 1 ||
		*send.FireAt != "2026-05-12T19:00:00.000Z" || *send.AsOf > *send.MaterializedAt {
		t.Errorf("%+v", send)
	}
	ndjson := `{"phoneE164":"+15550000002","externalId":"crm-2"}` + "\n" + `{"phoneE164":"+15550000005","externalId":"crm-5"}` + "\n" + `{"end":true,"leads":2}` + "\n"
	csv := "phoneE164,externalId\r\n+15550000002,crm-2\r\n+15550000005,crm-5\r\n"
	parquet := from.leads("spring.1", "parquet")
	explain := func(phone string) string {
		return string(from.do(http.MethodGet, path+"/explain", nil, sending{Query: "phone=" + phone}, http.StatusOK, nil).body)
	}
	explanations := map[string]string{
		"+15550000001":            `{"phoneE164":"+15550000001","externalId":"crm-1","inAudience":true,"kept":false,"audienceFilter":{"mode":"exclude","listed":false,"passed":true},"filters":[{"filter":{"mode":"exclude","eventType":"bought"},"passed":false,"events":1,"lastEvent":{"occurredAt":"2025-05-12T19:00:00.000Z","metadata":{"amount":10}}},{"filter":{"mode":"include","eventType":"attended","within":{"minutes":120}},"passed":true,"events":1,"lastEvent":{"occurredAt":"2026-05-12T17:00:00.000Z","metadata":{}}}]}`,
		"%2B1%20555%20000%200003": `{"phoneE164":"+15550000003","externalId":"crm-3","inAudience":true,"kept":false,"audienceFilter":{"mode":"exclude","listed":true,"passed":false},"filters":[{"filter":{"mode":"exclude","eventType":"bought"},"passed":true,"events":0,"lastEvent":null},{"filter":{"mode":"include","eventType":"attended","within":{"minutes":120}},"passed":true,"events":1,"lastEvent":{"occurredAt":"2026-05-12T17:00:00.000Z","metadata":{}}}]}`,
		"0015550000004":           `{"phoneE164":"+15550000004","externalId":"crm-4","inAudience":true,"kept":false,"audienceFilter":{"mode":"exclude","listed":false,"passed":true},"filters":[{"filter":{"mode":"exclude","eventType":"bought"},"passed":true,"events":0,"lastEvent":null},{"filter":{"mode":"include","eventType":"attended","within":{"minutes":120}},"passed":false,"events":0,"lastEvent":null}]}`,
		"15550000007":             `{"phoneE164":"+15550000007","inAudience":false,"kept":false,"audienceFilter":null,"filters":[]}`,
	}
	frozen := func(when string) {
		t.Helper()
		for format, want := range map[string]string{"ndjson": ndjson, "csv": csv, "parquet": parquet} {
			if got := from.leads("spring.1", format); got != want {
				t.Errorf("%s: %s is\n%q\nwant\n%q", when, format, got, want)
			}
		}
		for phone, want := range explanations {
			if got := explain(phone); got != want {
				t.Errorf("%s: %s is explained by\n%s\nwant\n%s", when, phone, got, want)
			}
		}
	}
	frozen("at first")

	// What comes later changes nothing: events, another audience, another call.
	from.stored("bought", fire, `{}`, 2, 5)
	from.stored("attended", fire.Add(-time.Hour), `{}`, 4)
	from.put(t, "everybody", 9)
	again := from.materialize("spring.1")
	if *again.MaterializedAt != *send.MaterializedAt || *again.AsOf != *send.AsOf || *again.Kept != 2 {
		t.Errorf("materialized again: %+v", again)
	}
	frozen("after late events")
	filtered(excluded, "", "already_received", 3)
	from.refusal(http.MethodPost, webhook, list("exclude"), sending{}, http.StatusConflict, "conflict")
	from.refusal(http.MethodPut, path, definition, sending{}, http.StatusConflict, "conflict")
	var state sendShown
	from.do(http.MethodPost, path+"/materialize", nil, sending{}, http.StatusAccepted, &state)
	if state.Status != "materialized" {
		t.Errorf("%+v", state)
	}
	// Nobody else sees it.
	for _, sub := range []string{"", "/leads", "/explain"} {
		query := ""
		if sub == "/explain" {
			query = "phone=15550000001"
		}
		from.refusal(http.MethodGet, path+sub, nil, sending{Credential: "other", Query: query}, http.StatusNotFound, "not_found")
	}
}

// Every source of leads, and filters that are none.
func TestEverySourceOfLeads(t *testing.T) {
	from, _ := served(t)
	at := time.Date(2026, 5, 12, 19, 0, 0, 0, time.UTC)
	from.stored("a", at, `{}`, 1, 2)
	from.stored("b", at, `{}`, 2, 3)
	from.put(t, "stored", 2, 7)
	for name, c := range map[string]struct {
		audience object
		kept     []int
	}{
		"stored":       {object{"audienceId": "stored"}, []int{7}},
		"phones":       {phonesOf(8, 2, 3, 8), []int{3, 8}},
		"no phones":    {phonesOf(), nil},
		"event type":   {object{"eventType": "b"}, []int{3}},
		"no such type": {object{"eventType": "c"}, nil},
		"all leads":    {object{"allLeads": true}, []int{3}},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.ReplaceAll(name, " ", "-")
			from.do(http.MethodPut, "/api/v1/sends/"+id, object{"audience": c.audience, "eventFilters": []any{filterOf("exclude", "a")}}, sending{}, http.StatusCreated, nil)
			send := from.materialize(id)
			if *send.FireAt != *send.AsOf {
				t.Errorf("without fireAt it is %s, but as of %s", *send.FireAt, *send.AsOf)
			}
			var got []string
			for line := range strings.Lines(from.leads(id, "csv")) {
				phone, _, _ := strings.Cut(line, ",")
				got = append(got, phone)
			}
			want := []string{"phoneE164"}
			for _, i := range c.kept {
				want = append(want, phoneOf(i))
			}
			if strings.Join(got, " ") != strings.Join(want, " ") || *send.Kept != uint64(len(c.kept)) {
				t.Errorf("kept %v, want %v (%d)", got, want, *send.Kept)
			}
		})
	}
}

// Whatever is wrong with a request is told, and nothing is done.
func TestBadCampaignRequests(t *testing.T) {
	from, _ := served(t)
	filters := func(f ...string) string {
		return `{"audience":{"allLeads":true},"eventFilters":[` + strings.Join(f, ",") + `]}`
	}
	good := `{"mode":"include","eventType":"a"}`
	where := func(condition string) string {
		return filters(`{"mode":"include","eventType":"a","where":[` + condition + `]}`)
	}
	bodies := map[string]struct{ body, names string }{
		"unknown mode":        {filters(`{"mode":"keep","eventType":"a"}`), "eventFilters[0].mode"},
		"unknown operator":    {where(`{"path":"a","op":"like","value":"x"}`), "eventFilters[0].where[0].op"},
		"unknown field":       {filters(`{"mode":"include","eventType":"a","minutes":5}`), `"minutes"`},
		"unknown at the top":  {`{"audience":{"allLeads":true},"eventFilters":[],"filter":1}`, "filter"},
		"negative minutes":    {filters(`{"mode":"include","eventType":"a","within":{"minutes":-1}}`), "eventFilters[0].within.minutes"},
		"huge minutes":        {filters(`{"mode":"include","eventType":"a","within":{"minutes":5256001}}`), "5256000"},
		"empty event type":    {filters(`{"mode":"include","eventType":""}`), "eventFilters[0].eventType"},
		"1,000 levels":        {where(`{"path":"` + strings.Repeat("a.", 999) + `a","op":"eq","value":1}`), "eventFilters[0].where[0].path"},
		"value of wrong type": {where(`{"path":"a","op":"gt","value":true}`), "eventFilters[0].where[0].value"},
		"11 filters":          {filters(good, good, good, good, good, good, good, good, good, good, good), "11 filters"},
		"no filters given":    {`{"audience":{"allLeads":true}}`, "eventFilters"},
		"no audience":         {`{"eventFilters":[]}`, "audience"},
		"two audiences":       {`{"audience":{"allLeads":true,"phones":[]},"eventFilters":[]}`, "audience"},
		"a bad phone":         {`{"audience":{"phones":["+15550000001","12"]},"eventFilters":[]}`, "audience.phones[1]"},
		"fireAt of a day":     {`{"audience":{"allLeads":true},"eventFilters":[],"fireAt":"2026-05-12"}`, "fireAt"},
		"fireAt with a comma": {`{"audience":{"allLeads":true},"eventFilters":[],"fireAt":"2026-05-12T19:00:00,5Z"}`, "fireAt"},
		"fireAt a day off":    {`{"audience":{"allLeads":true},"eventFilters":[],"fireAt":"2026-05-12T19:00:00+24:00"}`, "fireAt"},
		"fireAt of 1970":      {`{"audience":{"allLeads":true},"eventFilters":[],"fireAt":"1970-01-01T00:00:00Z"}`, "fireAt"},
	}
	for name, c := range bodies {
		t.Run(name, func(t *testing.T) {
			for method, path := range map[string]string{http.MethodPost: "/api/v1/filters/preview", http.MethodPut: "/api/v1/sends/bad"} {
				if message := from.refusal(method, path, c.body, sending{}, http.StatusBadRequest, "invalid_request"); !strings.Contains(message, c.names) {
					t.Errorf("%s does not name %s", message, c.names)
				}
			}
		})
	}
	from.refusal(http.MethodGet, "/api/v1/sends/bad", nil, sending{}, http.StatusNotFound, "not_found")
	from.refusal(http.MethodPut, "/api/v1/sends/bad", `{"audience":{"allLeads":true},"eventFilters":[]} x`, sending{}, http.StatusBadRequest, "invalid_json")
	from.refusal(http.MethodPut, "/api/v1/sends/"+strings.Repeat("a", 65), filters(), sending{}, http.StatusBadRequest, "invalid_request")
	from.refusal(http.MethodPut, "/api/v1/sends/a%2Fb", filters(), sending{}, http.StatusBadRequest, "invalid_request")
	from.refusal(http.MethodPut, "/api/v1/sends/bad", `{"campaignId":"`+strings.Repeat("ä", 129)+`","audience":{"allLeads":true},"eventFilters":[]}`, sending{}, http.StatusBadRequest, "invalid_request")

	// Audiences that are not there, or another organization's.
	for id, x := range map[string]sending{"nobody": {}, "mine": {Credential: "other"}} {
		body := `{"audience":{"audienceId":"` + id + `"},"eventFilters":[]}`
		from.put(t, "mine", 1)
		from.refusal(http.MethodPost, "/api/v1/filters/preview", body, x, http.StatusNotFound, "not_found")
		from.refusal(http.MethodPut, "/api/v1/sends/bad", body, x, http.StatusNotFound, "not_found")
	}
	// Scopes: told after what is wrong.
	from.refusal(http.MethodPut, "/api/v1/sends/bad", `{}`, sending{Credential: "narrow"}, http.StatusBadRequest, "invalid_request")
	from.refusal(http.MethodPut, "/api/v1/sends/bad", filters(), sending{Credential: "narrow"}, http.StatusForbidden, "forbidden")
	from.refusal(http.MethodPost, "/api/v1/filters/preview", filters(), sending{Credential: "ingestOnly"}, http.StatusForbidden, "forbidden")
	from.refusal(http.MethodGet, "/api/v1/sends/bad/leads", nil, sending{Query: "format=xml"}, http.StatusBadRequest, "invalid_request")
	from.refusal(http.MethodGet, "/api/v1/sends/bad/explain", nil, sending{Query: "phone=12"}, http.StatusBadRequest, "invalid_request")
	from.refusal(http.MethodGet, "/api/v1/sends/bad/explain", nil, sending{}, http.StatusBadRequest, "invalid_request")
	from.refusal(http.MethodPost, "/api/v1/sends/bad/materialize", nil, sending{Query: "wait=maybe"}, http.StatusBadRequest, "invalid_request")
	// It takes nothing from a body, and does not pass over what stands in one.
	from.refusal(http.MethodPost, "/api/v1/sends/bad/materialize", `{"fireAt":"2026-05-12T19:00:00Z"}`, sending{}, http.StatusBadRequest, "invalid_request")
	from.refusal(http.MethodPost, "/api/v1/sends/bad/materialize", `{}`, sending{}, http.StatusNotFound, "not_found")
}

// JSON allows what most writers of JSON refuse to write. What was stored is shown.
func TestExplainShowsMetadataAsItWasSent(t *testing.T) {
	from, _ := served(t)
	at := time.Date(2026, 5, 12, 19, 0, 0, 0, time.UTC)
	odd := []string{`{"a":1,"a":2}`, `{"a":"\ud800"}`, `{"\udc00":1}`, `{"n":1.10e5,"s":"</script>"}`}
	for i, metadata := range odd {
		from.stored("odd metadata", at, metadata, i+1)
	}
	from.do(http.MethodPut, "/api/v1/sends/odd", object{
		"audience": object{"eventType": "odd metadata"}, "eventFilters": []any{filterOf("include", "odd metadata")},
	}, sending{}, http.StatusCreated, nil)
	from.materialize("odd")
	for i, metadata := range odd {
		answer := from.do(http.MethodGet, "/api/v1/sends/odd/explain", nil, sending{Query: fmt.Sprintf("phone=%d", 15550000001+i)}, http.StatusOK, nil)
		if !strings.Contains(string(answer.body), `"metadata":`+metadata+`}`) {
			t.Errorf("of %s is shown %s", metadata, answer.body)
		}
	}
}

// The list filter's webhook: both auth modes, and what it refuses.
func TestTheListFilterWebhook(t *testing.T) {
	from, _ := served(t)
	const path = "/api/v1/webhooks/campaigns/audience-filter"
	body := func(org leadevents.OrgID, leads string) string {
		return fmt.Sprintf(`{"organizationId":%d,"campaignId":"c","sendId":"s","mode":"include","leads":%s}`, org, leads)
	}
	for _, c := range []struct {
		name, body, credential string
		status                 int
		code, names            string
	}{
		{"signed", body(hmacOrg, `[]`), "hmac", 200, "", ""},
		{"signed by nobody", body(hmacOrg, `[]`), "badSignature", 401, "unauthenticated", ""},
		{"a key in hmac mode", body(hmacOrg, `[]`), "other", 401, "unauthenticated", ""},
		{"a signature in key mode", body(keyOrg, `[]`), "hmac", 401, "unauthenticated", ""},
		{"no credential, not JSON", `{`, "none", 401, "unauthenticated", ""},
		{"without the scope, not JSON", `{`, "narrow", 400, "invalid_json", ""},
		{"without the scope", body(keyOrg, `[]`), "narrow", 403, "forbidden", ""},
		{"another organization", body(7, `[]`), "", 403, "organization_mismatch", ""},
		{"no leads", `{"organizationId":42,"sendId":"s","mode":"include"}`, "", 400, "invalid_request", "leads"},
		{"null leads", body(keyOrg, `null`), "", 400, "invalid_request", "leads"},
		{"leads of another type", body(keyOrg, `{}`), "", 400, "invalid_request", "leads"},
		{"a lead without a name", body(keyOrg, `[{}]`), "", 400, "invalid_request", "leads[0]"},
		{"a lead with two", body(keyOrg, `[{"externalId":"a"},{"externalId":"a","phoneE164":"+15550000001"}]`), "", 400, "invalid_request", "leads[1]"},
		{"a bad phone", body(keyOrg, `[{"phoneE164":"12"}]`), "", 400, "invalid_request", "leads[0].phoneE164"},
		{"an empty externalId", body(keyOrg, `[{"externalId":""}]`), "", 400, "invalid_request", "leads[0].externalId"},
		{"an externalId that is a number", body(keyOrg, `[{"externalId":7}]`), "", 400, "invalid_request", "leads[0].externalId"},
		{"an unknown field", body(keyOrg, `[{"externalId":"a","name":"b"}]`), "", 400, "invalid_request", "leads[0].name"},
		{"an unknown mode", `{"organizationId":42,"sendId":"s","mode":"only","leads":[]}`, "", 400, "invalid_request", "mode"},
		{"a bad send id", `{"organizationId":42,"sendId":"a/b","mode":"include","leads":[]}`, "", 400, "invalid_request", "sendId"},
		{"no organization", `{"sendId":"s","mode":"include","leads":[]}`, "", 400, "invalid_request", "organizationId"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r refused
			from.do(http.MethodPost, path, c.body, sending{Credential: c.credential}, c.status, &r)
			if r.Error.Code != c.code || !strings.Contains(r.Error.Message, c.names) {
				t.Errorf("%+v, want %s naming %s", r.Error, c.code, c.names)
			}
		})
	}
	// An empty list matches no lead: include drops all.
	from.do(http.MethodPost, path, body(keyOrg, `[]`), sending{}, http.StatusOK, nil)
	from.do(http.MethodPut, "/api/v1/sends/s", object{"audience": phonesOf(1, 2), "eventFilters": []any{}}, sending{}, http.StatusCreated, nil)
	if send := from.materialize("s"); *send.Kept != 0 || send.Dropped.AudienceFilter != 2 {
		t.Errorf("%+v", send)
	}
}

// storeOf is the store of the settings, to look at what is there.
func storeOf(t *testing.T, s configs.Settings) *clickhouse.DB {
	t.Helper()
	db, err := openClickHouse(s, dialers{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
