package app

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
)

// Where ingest.conflicts is on the answer counts what came with other metadata, and the
// batch has its rows.
func TestConflictsAreTold(t *testing.T) {
	s, from := storeSettings(t), newSender(t)
	s.Ingest.Conflicts = "on"
	prove(t, &s, from)
	base, stop := startServe(t, s, &logOf{})
	t.Cleanup(stop)
	from.base = base
	const first, second, at = `"+15551234567"`, `"+15551234568"`, `"2026-05-12T18:34:00Z"`
	for _, tc := range []struct {
		rows []string
		want int
		at   []int
	}{
		{[]string{rowOf(first, at, `{"a":1}`), rowOf(second, at, `null`)}, 0, nil},
		{[]string{`7`, rowOf(first, at, `{"a":2}`), rowOf(second, at, `{ }`)}, 1, []int{1}},
	} {
		a, _ := from.ingest(callBody("conflicts", tc.rows...), sending{})
		var answer, batch struct {
			BatchID      string
			Conflicts    *int
			ConflictRows []int
		}
		if err := json.Unmarshal(a.body, &answer); err != nil || answer.Conflicts == nil || *answer.Conflicts != tc.want {
			t.Fatalf("answered %s", a.body)
		}
		a = from.send(http.MethodGet, "/api/v1/batches/"+answer.BatchID, nil, sending{})
		if err := json.Unmarshal(a.body, &batch); err != nil || batch.Conflicts == nil || *batch.Conflicts != tc.want || !slices.Equal(batch.ConflictRows, tc.at) {
			t.Errorf("the batch is %s", a.body)
		}
	}
}
