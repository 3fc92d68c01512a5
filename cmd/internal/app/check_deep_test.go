package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// States without events are told by the endpoint and by check, which removes them.
func TestCheckDeepFindsAndRepairs(t *testing.T) {
	s, from := storeSettings(t), newSender(t)
	// A state is waited for as long as a request may take, thrice here.
	s.Ledger.Deadline, s.ClickHouse.InsertTimeout = 4500*time.Millisecond, 2*time.Second
	prove(t, &s, from)
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	from.base = base
	rows := make([]string, 20)
	for i := range rows {
		rows[i] = rowOf(fmt.Sprintf(`"+1555123%04d"`, i), `"2020-05-12T18:34:00Z"`, `null`)
	}
	if a, r := from.ingest(callBody("deep", rows...), sending{}); r.Inserted != 20 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	look := func() []Finding {
		t.Helper()
		return CheckDeep(t.Context(), s, Deep{Timeout: time.Minute})
	}
	if broken := brokenOf(look()); len(broken) != 0 {
		t.Fatalf("before anything was planted: %+v", broken)
	}
	db, err := openClickHouse(s, dialers{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	// A server that has just started adds states that lack; it takes none back.
	if err := db.Conn().Exec(t.Context(), `INSERT INTO lead_states SELECT 42, 'deep', 15559990000 + number, now64(3), now64(3) FROM numbers(5)`); err != nil {
		t.Fatal(err)
	}

	var report struct {
		Complete      bool
		LeadsCompared int
		Differences   []struct {
			Kind, EventType, Remedy string
			Count                   int
		}
	}
	told := func(credential string) int {
		t.Helper()
		a := from.sendAgain(http.MethodGet, "/api/v1/reconcile", nil, sending{Credential: credential})
		if err := json.Unmarshal(a.body, &report); err != nil || a.status != http.StatusOK || !report.Complete {
			t.Fatalf("%d %s: %v", a.status, a.body, err)
		}
		return len(report.Differences)
	}
	if n := told("apiKey"); n != 1 || report.Differences[0].Kind != "states.extra" || report.Differences[0].Count != 5 || report.Differences[0].EventType != "deep" || report.Differences[0].Remedy == "" || report.LeadsCompared != 25 {
		t.Errorf("the endpoint said %+v", report)
	}
	if n := told("second"); n != 0 || report.LeadsCompared != 0 {
		t.Errorf("another organization was told %+v", report)
	}
	for query, want := range map[string]string{
		"from=yesterday": "from must be a time", "from=2026-05-12T00:00:00Z&to=2026-05-12T00:00:00Z": "from must be before to",
		"from=2020-05-12T00:00:00Z&to=2026-05-12T00:00:00Z": "400 days apart", "repair=true": "repair",
	} {
		if a := from.send(http.MethodGet, "/api/v1/reconcile", nil, sending{Query: query}); a.status != http.StatusBadRequest || !strings.Contains(string(a.body), want) {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}

	found, ok := find(brokenOf(look()), "deep", "5 leads have a state and no events")
	if !ok || !strings.Contains(found.Remedy, "--repair") {
		t.Errorf("check says %+v", found)
	}
	repaired := CheckDeep(t.Context(), s, Deep{Timeout: time.Minute, Repair: true, Sample: 10})
	if found, ok = find(repaired, "deep", "; repaired"); !ok || found.Level != OK || len(brokenOf(repaired)) != 0 {
		t.Errorf("the repair says %+v", repaired)
	}
	if all := look(); len(brokenOf(all)) != 0 {
		t.Errorf("after it: %+v", all)
	}
	if all := CheckDeep(t.Context(), s, Deep{Timeout: time.Nanosecond}); len(all) == 0 || all[0].Level == OK {
		t.Errorf("without time: %+v", all)
	}
}
