package app

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/clickhouse"
	"leadevents/configs"
)

// realm is what an organization has of everything: what others would like to have,
// by name, and the ids and cursors that lead to it.
type realm struct {
	org        leadevents.OrgID
	credential string
	phones     []string // digits; the first stands in every realm
	has        map[string]string
}

const sharedPhone = "15551230000"

// found makes a realm. All realms have the same names for the same things, and
// different things under them: that names collide would show at once.
func (s *sender) found(org leadevents.OrgID, credential, area string) *realm {
	s.t.Helper()
	r := &realm{org: org, credential: credential, phones: []string{sharedPhone, area + "5550101", area + "5550102"}, has: map[string]string{}}
	ask := func(status int, method, path, query, body string, headers ...string) answered {
		s.t.Helper()
		h := map[string]string{}
		for i := 0; i+1 < len(headers); i += 2 {
			h[headers[i]] = headers[i+1]
		}
		a := s.sendAgain(method, path, []byte(body), sending{Credential: credential, Query: query, Headers: h})
		if a.status != status {
			s.t.Fatalf("organization %d: %s %s %s: %d %s", org, method, path, body, a.status, a.body)
		}
		return a
	}
	get := func(body []byte, path ...string) string {
		s.t.Helper()
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			s.t.Fatal(err)
		}
		for _, name := range path {
			if list, ok := v.([]any); ok {
				v = list[0]
			}
			v = v.(map[string]any)[name]
		}
		text, _ := v.(string)
		if text == "" {
			s.t.Fatalf("%s has no %v", body, path)
		}
		return text
	}

	var rows []string
	for i, phone := range r.phones {
		rows = append(rows, rowOf(`"+`+phone+`"`, fmt.Sprintf(`"2026-05-%02dT18:34:00Z"`, i+1), `{"plan":"`+area+`"}`))
	}
	rows = append(rows, rowOf(`"`+area+`"`, `"2026-05-12T18:34:00Z"`, `{}`)) // a reject
	event := strings.Replace(string(callBody("webinar_joined", rows...)), "42", org.String(), 1)
	batch := ask(200, "POST", ingestPath, "", event, "Idempotency-Key", "call-1", "Leadevents-Run", "run-"+area)
	if !strings.Contains(string(batch.body), `"inserted":3,"duplicates":0,"rejected":1`) {
		s.t.Fatalf("organization %d: its first call was answered %s", org, batch.body)
	}
	again := ask(200, "POST", ingestPath, "", event, "Idempotency-Key", "call-1")
	if string(again.body) != string(batch.body) {
		s.t.Fatalf("organization %d: again: %s", org, again.body)
	}
	ask(200, "POST", ingestPath, "", strings.Replace(string(callBody("second_type", rows[0])), "42", org.String(), 1))
	r.has["event"], r.has["batch"] = event, get(batch.body, "batchId")
	sum := sha256.Sum256([]byte(event))
	r.has["hash"] = hex.EncodeToString(sum[:])

	csv := "phone,externalId\n"
	for i, phone := range r.phones {
		csv += fmt.Sprintf("+%s,crm-%d\n", phone, i)
	}
	for _, name := range []string{"customers", "others"} {
		ask(200, "PUT", "/api/v1/audiences/"+name+"/leads", "", csv, "Content-Type", "text/csv")
	}
	ask(201, "PUT", "/api/v1/sends/spring", "", `{"campaignId":"c-`+area+`","audience":{"audienceId":"customers"},"eventFilters":[]}`)
	ask(200, "POST", "/api/v1/webhooks/campaigns/audience-filter", "", fmt.Sprintf(
		`{"organizationId":%d,"campaignId":"c-%s","sendId":"spring","mode":"exclude","leads":[{"externalId":"crm-1"}]}`, org, area))
	ask(200, "POST", "/api/v1/sends/spring/materialize", "wait=true", "")
	leads := string(ask(200, "GET", "/api/v1/sends/spring/leads", "format=csv", "").body)
	if leads != "phoneE164,externalId\r\n"+csvOf(r.phones[0], "crm-0", r.phones[2], "crm-2") {
		s.t.Fatalf("organization %d keeps %q", org, leads)
	}
	ask(201, "PUT", "/api/v1/sends/draft", "", `{"audience":{"audienceId":"others"},"eventFilters":[]}`)

	key := ask(201, "POST", keysPath, "", `{"name":"key of `+area+`"}`).body
	r.has["key"], r.has["prefix"] = get(key, "id"), get(key, "prefix")
	signer := ask(201, "POST", signingPath, "", `{"name":"signer of `+area+`"}`).body
	r.has["signer"] = get(signer, "id")
	r.has["batches cursor"] = get(ask(200, "GET", "/api/v1/batches", "limit=1", "").body, "nextCursor")
	r.has["audiences cursor"] = get(ask(200, "GET", "/api/v1/audiences", "limit=1", "").body, "nextCursor")
	r.has["events cursor"] = get(ask(200, "GET", eventsPath, "limit=1", "").body, "nextCursor")
	entries := ask(200, "GET", auditPath, "limit=1", "").body
	r.has["audit cursor"], r.has["request"] = get(entries, "nextCursor"), get(entries, "entries", "requestId")
	r.has["actor"] = get(ask(200, "GET", keysPath, "", "").body, "apiKeys", "id")
	return r
}

// csvOf is leads as CSV, in the order of their phones, which have 11 digits each.
func csvOf(leads ...string) string {
	var lines []string
	for i := 0; i < len(leads); i += 2 {
		lines = append(lines, "+"+leads[i]+","+leads[i+1]+"\r\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// holds is all that is stored of a realm: over HTTP as its owner sees it, and the rows
// of each table that have its number; but how often its keys were used.
func (s *sender) holds(r *realm, settings configs.Settings) map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, path := range []string{
		"/api/v1/batches", "/api/v1/batches?idempotencyKey=call-1", "/api/v1/batches?limit=10&cursor=" + url.QueryEscape(r.has["batches cursor"]),
		"/api/v1/batches/" + r.has["batch"] + "/rejects", "/api/v1/audiences", "/api/v1/audiences?cursor=" + r.has["audiences cursor"], "/api/v1/audiences/customers",
		"/api/v1/sends/spring", "/api/v1/sends/draft", "/api/v1/sends/spring/explain?phone=" + sharedPhone,
		"/api/v1/event-types", eventsPath, "/api/v1/leads/" + sharedPhone + "/events",
		webhooksPath, keysPath, signingPath, auditPath, auditPath + "?cursor=" + r.has["audit cursor"],
	} {
		bare, query, _ := strings.Cut(path, "?")
		a := s.sendAgain(http.MethodGet, bare, nil, sending{Credential: r.credential, Query: query})
		if a.status != http.StatusOK {
			s.t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		all[path] = use.ReplaceAllString(string(a.body), "")
	}
	// What Redis remembers: the same events are no news, and the same call is itself.
	dry := s.sendAgain(http.MethodPost, ingestPath, []byte(r.has["event"]), sending{Credential: r.credential, Query: "dryRun=true"})
	again := s.sendAgain(http.MethodPost, ingestPath, []byte(r.has["event"]), sending{Credential: r.credential, Headers: map[string]string{"Idempotency-Key": "call-1"}})
	all["dry run"], all["again"] = string(dry.body), string(again.body)
	for table, rows := range rowsOf(s.t, settings, r.org) {
		all["table "+table] = rows
	}
	return all
}

// rowsOf is a checksum of an organization's rows, by table.
func rowsOf(t *testing.T, settings configs.Settings, org leadevents.OrgID) map[string]string {
	t.Helper()
	cfg, err := clickHouseConfig(settings, dialers{})
	if err != nil {
		t.Fatal(err)
	}
	db, err := clickhouse.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tables, err := db.Conn().Query(t.Context(), `SELECT name, engine != 'MergeTree' FROM system.tables WHERE database = currentDatabase() AND name != 'key_uses'
		AND name IN (SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'organization_id') AND engine LIKE '%MergeTree'`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tables.Close() }()
	all := map[string]string{}
	for tables.Next() {
		var name, final string
		var merges bool
		if err := tables.Scan(&name, &merges); err != nil {
			t.Fatal(err)
		}
		if merges {
			final = " FINAL"
		}
		var rows, sum uint64
		if err := db.Conn().QueryRow(t.Context(), "SELECT count(), groupBitXor(cityHash64(*)) FROM "+name+final+" WHERE organization_id = ?", uint64(org)).Scan(&rows, &sum); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = fmt.Sprintf("%d rows, %x", rows, sum)
	}
	if len(all) < 15 {
		t.Errorf("only %d tables: %v", len(all), all)
	}
	return all
}

// untouched fails the test where a realm is not what it was.
func untouched(t *testing.T, before, after map[string]string) {
	t.Helper()
	if diff := gocmp.Diff(before, after); diff != "" {
		t.Errorf("another organization's realm has changed:\n%s", diff)
	}
}

// What differs between two answers to the same question, and tells nothing.

var (
	chanceTime = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	chanceID   = regexp.MustCompile(`"(requestId|batchId|id|key|prefix|secret|nextCursor)":"[^"]*"`)
)

// plain is an answer without its chances and without what was asked for in it.
func plain(a answered, asked ...string) string {
	var lines []string
	for name, values := range a.header {
		switch name {
		case "X-Request-Id", "Date":
		case "Content-Length": // a batchId has 18 digits now and then
			if values[0] != fmt.Sprint(len(a.body)) {
				lines = append(lines, "Content-Length: wrong")
			}
		default:
			lines = append(lines, name+": "+strings.Join(values, ", "))
		}
	}
	slices.Sort(lines)
	body := string(a.body)
	for _, what := range asked { // as sent, and a key's prefix without what all begin with
		body = strings.ReplaceAll(strings.ReplaceAll(body, what, "(asked)"), strings.TrimPrefix(what, "le_"), "(asked)")
	}
	body = chanceID.ReplaceAllString(chanceTime.ReplaceAllString(body, "(time)"), `"$1":"(made)"`)
	return fmt.Sprint(a.status) + "\n" + strings.Join(lines, "\n") + "\n\n" + body
}
