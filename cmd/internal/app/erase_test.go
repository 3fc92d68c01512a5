package app

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"leadevents/configs"
	"leadevents/journal"
)

// hasten makes an erasure verified within seconds.
func hasten(s *configs.Settings) {
	s.Ledger.Deadline, s.Ledger.Margin = 3*time.Second, 100*time.Millisecond
	s.Ingest.PeekTimeout, s.ClickHouse.InsertTimeout = 3*time.Second, 2*time.Second
	s.Erasure.PurgeAfter = 0
}

// ingestAgain is ingest of what is sent until it is answered.
func (s *sender) ingestAgain(body []byte) (a answered, r result) {
	s.t.Helper()
	a = s.sendAgain(http.MethodPost, ingestPath, body, sending{})
	if err := json.Unmarshal(a.body, &r); err != nil || r.Received != r.Inserted+r.Duplicates+r.Rejected {
		s.t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return a, r
}

// erasure asks about a lead, or has something done to it.
func (s *sender) erasure(method, path string, want int) (shown journal.Shown) {
	s.t.Helper()
	query := ""
	if method == http.MethodDelete {
		query = "wait=true"
	}
	a := s.sendAgain(method, path, nil, sending{Query: query})
	if a.status != want {
		s.t.Fatalf("%s %s: %d %s, want %d", method, path, a.status, a.body, want)
	}
	if err := json.Unmarshal(a.body, &shown); err != nil {
		s.t.Fatal(err)
	}
	return shown
}

// A lead is erased by either spelling, stays away by whatever way it is sent, and comes
// again when it is allowed; nothing that is written shows it.
func TestNoLogShowsAnErasedLead(t *testing.T) {
	s, from := storeSettings(t), newSender(t)
	hasten(&s)
	s.Log.Level = "debug"
	prove(t, &s, from)
	log := &logOf{}
	base, stop := startServe(t, s, log)
	defer stop()
	from.base = base
	const digits, other = "12025550123", "12025550124"
	event := callBody("bought", rowOf(`"+`+digits+`"`, `"2026-05-12T18:34:00Z"`, `{}`), rowOf(`"+`+other+`"`, `"2026-05-12T18:34:00Z"`, `{}`))
	if _, r := from.ingestAgain(event); r.Inserted != 2 {
		t.Fatalf("%+v", r)
	}
	ask := func(method, path, query, body string, want int, has string) string {
		t.Helper()
		a := from.sendAgain(method, path, []byte(body), sending{Query: query})
		if a.status != want || !strings.Contains(string(a.body), has) {
			t.Errorf("%s %s: %d %s; want %d, %s", method, path, a.status, a.body, want, has)
		}
		return string(a.body)
	}
	upload := `{"leads":[{"phoneE164":"+` + digits + `","externalId":"a"},{"phoneE164":"+` + other + `"}]}`
	ask("PUT", "/api/v1/audiences/x/leads", "", upload, 200, `"stored":2`)
	ask("PUT", "/api/v1/sends/s", "", `{"audience":{"audienceId":"x"},"eventFilters":[{"mode":"include","eventType":"bought"}]}`, 201, "")
	ask("POST", "/api/v1/sends/s/materialize", "wait=true", "", 200, `"kept":2`)
	before := ask("GET", "/api/v1/sends/s/leads", "format=csv", "", 200, digits)
	listed := `{"organizationId":42,"campaignId":"c","sendId":"later","mode":"include","leads":[{"phoneE164":"+` + digits + `"},{"phoneE164":"` + other + `"}]}`
	ask("POST", "/api/v1/webhooks/campaigns/audience-filter", "", listed, 200, `{"status":"accepted","leadCount":2}`)

	path := "/api/v1/leads/" + digits
	ask("GET", path+"/erasure", "", "", 404, "was not erased")
	shown := from.erasure("DELETE", path, 200)
	if shown.State != journal.IsErased || shown.Erased[journal.Events] != 1 || shown.Erased[journal.AudienceRows] != 1 || shown.Erased[journal.SendRows] != 1 || shown.Erased[journal.ListRows] != 1 {
		t.Errorf("%+v", shown)
	}
	if again := from.erasure("DELETE", "/api/v1/leads/%2B"+digits, 200); again.RequestedAt != shown.RequestedAt {
		t.Errorf("another spelling is another erasure: %+v", again)
	}
	ask("DELETE", "/api/v1/leads/12", "", "", 400, "possible phone number")

	// Away.
	_, r := from.ingestAgain(event)
	if r.Inserted != 0 || r.Duplicates != 1 || r.Rejected != 1 || strings.Contains(string(mustJSON(t, r)), digits) {
		t.Errorf("%+v", r)
	}
	ask("PUT", "/api/v1/audiences/x/leads", "", upload, 200, `"stored":1,"duplicates":0,"rejected":1`)
	ask("POST", "/api/v1/webhooks/campaigns/audience-filter", "", listed, 200, `{"status":"already_received","leadCount":1}`)
	ask("POST", "/api/v1/filters/preview", "", `{"audience":{"phones":["`+digits+`","`+other+`"]},"eventFilters":[]}`, 200, `"total":1,"kept":1`)
	ask("PUT", "/api/v1/sends/phones", "", `{"audience":{"phones":["`+digits+`","`+other+`"]},"eventFilters":[]}`, 201, `"phoneCount":1`)
	ask("POST", "/api/v1/sends/phones/materialize", "wait=true", "", 200, `"kept":1`)
	after := ask("GET", "/api/v1/sends/s/leads", "format=csv", "", 200, other)
	if after != strings.Replace(before, "+"+digits+",a\r\n", "", 1) {
		t.Errorf("the frozen result was %q, and is %q", before, after)
	}
	ask("GET", "/api/v1/sends/s", "", "", 200, `"total":2,"kept":2`)
	ask("GET", "/api/v1/sends/s/explain", "phone="+digits, "", 200, `"inAudience":false`)

	// Verified, gone, and allowed.
	eventually(t, "it is gone from the disk", func() bool {
		shown = from.erasure("GET", path+"/erasure", 200)
		return shown.GoneFromDisk != nil
	})
	if !shown.Verified || shown.GoneFromDiskBy == nil || *shown.GoneFromDisk > *shown.GoneFromDiskBy {
		t.Errorf("%+v", shown)
	}
	if allowed := from.erasure("POST", path+"/allow", 200); allowed.State != journal.IsAllowed || allowed.AllowedAt == nil {
		t.Errorf("%+v", allowed)
	}
	if _, r := from.ingestAgain(event); r.Inserted != 1 || r.Duplicates != 1 || r.Rejected != 0 {
		t.Errorf("allowed again: %+v", r)
	}
	entries, _ := from.auditOf("apiKey", "limit=1000")
	if text := string(mustJSON(t, entries)); strings.Contains(text, digits) || !strings.Contains(text, `"lead.erase"`) || !strings.Contains(text, `"lead.allow"`) {
		t.Errorf("audit log: %s", text)
	}
	stop()
	if text := log.String(); strings.Contains(text, digits) || !strings.Contains(text, "/api/v1/leads/:phone") {
		t.Errorf("the log shows the lead, or not the route: %s", text)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
