package app

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// Calls are put into runs by a header; what they have stored is taken back by batch or by
// run, unless a send has used it.
func TestRunsAreToldAndUndone(t *testing.T) {
	s, from := storeSettings(t), newSender(t)
	hasten(&s)
	prove(t, &s, from)
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	from.base = base
	ask := func(method, path, query, body string, want int, has string, headers ...string) answered {
		t.Helper()
		with := sending{Query: query, Headers: map[string]string{}}
		for i := 0; i < len(headers); i += 2 {
			with.Headers[headers[i]] = headers[i+1]
		}
		a := from.sendAgain(method, path, []byte(body), with)
		if a.status != want || !strings.Contains(string(a.body), has) {
			t.Errorf("%s %s?%s %v: %d %s; want %d, %s", method, path, query, headers, a.status, a.body, want, has)
		}
		return a
	}
	event := func(n int) string {
		return string(callBody("bought", rowOf(fmt.Sprintf(`"+1202555%04d"`, n), `"2026-05-12T18:34:00Z"`, `{}`)))
	}
	send := func(n int, headers ...string) (r result) {
		t.Helper()
		_ = json.Unmarshal(ask("POST", ingestPath, "", event(n), 200, "accepted", headers...).body, &r)
		return r
	}

	for _, bad := range []string{"", "two words", strings.Repeat("x", 65), "ümlaut"} {
		ask("POST", ingestPath, "", event(1), 400, "header Leadevents-Run must be", "Leadevents-Run", bad)
	}
	ask("POST", ingestPath, "dryRun=true", event(1), 200, `"inserted":1`, "Leadevents-Run", "two words")
	ask("GET", "/api/v1/runs", "", "", 200, `{"runs":[],"nextCursor":null}`)
	ask("GET", "/api/v1/runs/spring", "", "", 404, "no run of that id")
	ask("DELETE", "/api/v1/runs/spring", "", "", 404, "no run of that id")
	ask("DELETE", "/api/v1/batches/1", "", "", 404, "no batch of that id")
	ask("DELETE", "/api/v1/batches/1", "force=yes", "", 400, "force")

	alone := send(1)
	keyed := send(2, "Leadevents-Run", "spring", "Idempotency-Key", "page 1")
	send(3, "Leadevents-Run", "spring")
	send(3, "Leadevents-Run", "spring")
	send(4, "Leadevents-Run", strings.Repeat("S", 64))
	ask("GET", "/api/v1/runs/spring", "", "", 200, `"state":"done","batches":3,"undoneBatches":0,"received":3,"inserted":2,"duplicates":1,"rejected":0`)
	var page struct {
		Runs       []struct{ Run string }
		NextCursor *string
	}
	var names []string
	for query := "limit=1"; ; query = "limit=1&cursor=" + url.QueryEscape(*page.NextCursor) {
		page.NextCursor = nil
		_ = json.Unmarshal(ask("GET", "/api/v1/runs", query, "", 200, "runs").body, &page)
		for _, r := range page.Runs {
			names = append(names, r.Run)
		}
		if page.NextCursor == nil {
			break
		}
	}
	if len(names) != 2 || names[1] != "spring" {
		t.Errorf("the list, newest first: %v", names)
	}
	if p := from.list(url.Values{"run": {"spring"}}); len(p.Batches) != 3 {
		t.Errorf("batches of the run: %+v", p)
	}
	ask("GET", "/api/v1/batches", "run=a%20b", "", 400, "run must be")
	ask("GET", "/api/v1/runs", "cursor=AAAA", "", 400, "cursor")

	// A send has used the events of lead 2, and not that of lead 1.
	ask("PUT", "/api/v1/audiences/x/leads", "", `{"leads":[{"phoneE164":"+12025550002"}]}`, 200, `"stored":1`)
	ask("PUT", "/api/v1/sends/other", "", `{"audience":{"audienceId":"x"},"eventFilters":[{"mode":"include","eventType":"other"}]}`, 201, "")
	ask("PUT", "/api/v1/sends/s", "", `{"audience":{"audienceId":"x"},"eventFilters":[{"mode":"include","eventType":"bought"}]}`, 201, "")
	for _, id := range []string{"s", "other"} {
		ask("POST", "/api/v1/sends/"+id+"/materialize", "wait=true", "", 200, "materialized")
	}
	for _, path := range []string{"/api/v1/runs/spring", "/api/v1/batches/" + keyed.BatchID} {
		ask("DELETE", path, "", "", 409, "1 materialized sends have used these events (s)")
	}
	ask("DELETE", "/api/v1/batches/"+alone.BatchID, "wait=true", "", 200, `"state":"undone","keys":1`)
	ask("GET", "/api/v1/batches/"+alone.BatchID, "", "", 200, `"state":"undone"`)
	ask("DELETE", "/api/v1/batches/"+alone.BatchID, "", "", 202, `"state":"undone","keys":1`)
	if r := send(1); r.Inserted != 1 {
		t.Errorf("sent again after its undo: %+v", r)
	}

	ask("DELETE", "/api/v1/runs/spring", "force=true", "", 202, `"batches":3`)
	ask("POST", "/api/v1/filters/preview", "", `{"audience":{"audienceId":"x"},"eventFilters":[{"mode":"include","eventType":"bought"}]}`, 200, `"kept":0`)
	ask("DELETE", "/api/v1/runs/spring", "wait=true", "", 200, `"state":"undone","batches":3,"undoneBatches":3,"undoingBatches":0`)
	ask("GET", "/api/v1/runs/spring", "", "", 200, `"state":"undone"`)
	ask("POST", ingestPath, "", event(2), 409, "has been undone", "Idempotency-Key", "page 1")
	ask("POST", "/api/v1/filters/preview", "", `{"audience":{"eventType":"bought"},"eventFilters":[]}`, 200, `"total":2`)
	ask("GET", "/api/v1/sends/s", "", "", 200, `"kept":1`)

	entries, _ := from.auditOf("apiKey", "limit=1000&action=run.undo")
	if len(entries) != 1 {
		t.Errorf("audit log: %s", mustJSON(t, entries))
	}
}
