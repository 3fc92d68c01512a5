package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/internal/storetest"
	"leadevents/query/audience"
)

// storeEvent stores one event of a lead.
func storeEvent(t *testing.T, db *DB, phone leadevents.Phone, eventType string, at leadevents.Millis, metadata string) {
	t.Helper()
	rows := &leadevents.Rows{IngestedAt: at}
	rows.Append(campaignOrg, eventType, leadevents.Event{Phone: phone, OccurredAt: at, Metadata: []byte(metadata)}, 1)
	if err := db.InsertEvents(t.Context(), rows, fmt.Sprint(phone, eventType, at), ""); err != nil {
		t.Fatal(err)
	}
}

func ever(mode audience.Mode, eventType string) audience.Filter {
	return audience.Filter{Mode: mode, EventType: eventType, MinCount: 1}
}

// What a send decided and why stays as it was, whatever is stored or removed later.
func TestLaterEventsDoNotChangeWhatASendSays(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	const lead, other = 15551230001, 15551230002
	storeEvent(t, db, lead, "bought", campaignFireAt-10, `{"n":1}`)
	storeEvent(t, db, lead, "bought", campaignFireAt-5, `{"n":2}`)
	e := audience.Evaluation{
		Leads:   audience.Leads{Source: audience.Listed, Phones: []leadevents.Phone{lead, other}},
		Filters: []audience.Filter{ever(audience.Include, "bought"), ever(audience.Exclude, "left")},
		FireAt:  campaignFireAt,
	}
	before, err := db.Materialize(t.Context(), campaignOrg, 1, e, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := (audience.Totals{Total: 2, Kept: 1, DroppedByFilters: []uint64{1, 0}}); gocmp.Diff(want, before) != "" {
		t.Fatalf("totals %+v, want %+v", before, want)
	}
	verdict := func() audience.Decision {
		t.Helper()
		d, found, err := db.SendVerdict(t.Context(), campaignOrg, 1, e.Filters, lead)
		if err != nil || !found {
			t.Fatalf("found %t: %v", found, err)
		}
		return d
	}
	want := audience.Decision{Verdict: audience.Verdict{Kept: true, DroppedBy: -1, Filters: []audience.Evidence{
		{Passed: true, Events: 2, LastEvent: &audience.Event{EventType: "bought", OccurredAt: campaignFireAt - 5, Metadata: []byte(`{"n":2}`)}}, {Passed: true},
	}}}
	if diff := gocmp.Diff(want, verdict()); diff != "" {
		t.Errorf("right after it (-want +got)\n%s", diff)
	}
	storeEvent(t, db, lead, "bought", campaignFireAt-1, `{"n":3}`)
	storeEvent(t, db, lead, "left", campaignFireAt-1, `{}`)
	storeEvent(t, db, other, "bought", campaignFireAt-1, `{}`)
	if diff := gocmp.Diff(want, verdict()); diff != "" {
		t.Errorf("after more events (-want +got)\n%s", diff)
	}
	// An event that is undone or erased leaves its time, not its content.
	if err := db.conn.Exec(t.Context(), fmt.Sprintf("ALTER TABLE lead_events DELETE WHERE occurred_at = fromUnixTimestamp64Milli(%d, 'UTC') SETTINGS mutations_sync = 2", campaignFireAt-5)); err != nil {
		t.Fatal(err)
	}
	want.Filters[0].LastEvent.Metadata = nil
	if diff := gocmp.Diff(want, verdict()); diff != "" {
		t.Errorf("after the event was removed (-want +got)\n%s", diff)
	}
}

// An audience that is found by its events is the one of the start: a lead that
// comes later is in none of its slices, though its event would have kept it.
func TestALeadThatComesDuringAMaterializationIsNotInIt(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	db.evaluation.SliceLeads = 10
	for phone := range leadevents.Phone(40) {
		storeEvent(t, db, 1000+phone, "came", campaignFireAt-10, `{}`)
	}
	for run, leads := range []audience.Leads{{Source: audience.EveryLead}, {Source: audience.EverHad, EventType: "came"}} {
		steps := 0
		late := leadevents.Phone(5000 + run)
		totals, err := db.Materialize(t.Context(), campaignOrg, uint64(run)+1, audience.Evaluation{Leads: leads, Filters: []audience.Filter{ever(audience.Exclude, "gone")}, FireAt: campaignFireAt},
			func(int, int) {
				if steps++; steps == 1 {
					storeEvent(t, db, late, "came", campaignFireAt-1, `{}`)
					storeEvent(t, db, late, "gone", campaignFireAt-1, `{}`)
				}
			})
		if err != nil {
			t.Fatal(err)
		}
		if steps < 2 {
			t.Fatalf("%d slices: the lead came too late to matter", steps)
		}
		if want := uint64(40 + run); totals.Total != want { // the late one of the run before is there now
			t.Errorf("%d leads, want %d", totals.Total, want)
		}
		if _, found, err := db.SendVerdict(t.Context(), campaignOrg, uint64(run)+1, []audience.Filter{ever(audience.Exclude, "gone")}, late); err != nil || found {
			t.Errorf("the late lead is found %t: %v", found, err)
		}
	}
}

// Runs and organizations do not see each other, and a dropped run is gone.
func TestADroppedRunLeavesTheOthers(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	e := audience.Evaluation{Leads: audience.Leads{Source: audience.Listed, Phones: []leadevents.Phone{1, 2, 3}}, FireAt: campaignFireAt}
	for _, run := range []uint64{1, 2} {
		for _, org := range []leadevents.OrgID{campaignOrg, strangeOrg} {
			if _, err := db.Materialize(t.Context(), org, run, e, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	count := func(org leadevents.OrgID, run uint64) (n int) {
		t.Helper()
		if err := db.SendLeads(t.Context(), org, run, func(phones []leadevents.Phone, _ []string) error {
			n += len(phones)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := db.DropRun(t.Context(), campaignOrg, 1); err != nil {
		t.Fatal(err)
	}
	if err := db.DropRun(t.Context(), campaignOrg, 77); err != nil {
		t.Errorf("a run that stored nothing: %v", err)
	}
	if got := []int{count(campaignOrg, 1), count(campaignOrg, 2), count(strangeOrg, 1), count(strangeOrg, 2)}; gocmp.Diff([]int{0, 3, 3, 3}, got) != "" {
		t.Errorf("leads left: %v", got)
	}
	var rows uint64
	if err := db.conn.QueryRow(t.Context(), "SELECT count() FROM send_evidence WHERE run = 1 AND organization_id = 7").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows of evidence are left: %v", rows, err)
	}
}

// A materialization that is given up has ended when it says so: nothing comes
// after DropRun.
func TestAMaterializationThatIsGivenUpHasEnded(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	fill(t, db, 200_000, 2_000_000)
	db.evaluation.SliceLeads = 20_000
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	timer := time.AfterFunc(50*time.Millisecond, cancel)
	defer timer.Stop()
	_, err := db.Materialize(ctx, campaignOrg, 1, audience.Evaluation{
		Leads: audience.Leads{Source: audience.EveryLead}, Filters: []audience.Filter{ever(audience.Include, "a"), ever(audience.Exclude, "b")}, FireAt: campaignFireAt,
	}, nil)
	if err == nil || !errors.Is(err, context.Canceled) {
		t.Fatalf("a materialization whose context has ended: %v", err)
	}
	var running uint64
	if err := db.conn.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE current_database = currentDatabase() AND query LIKE 'INSERT INTO send%'").Scan(&running); err != nil || running != 0 {
		t.Errorf("%d statements go on: %v", running, err)
	}
	if err := db.DropRun(t.Context(), campaignOrg, 1); err != nil {
		t.Fatal(err)
	}
	var rows uint64
	if err := db.conn.QueryRow(t.Context(), "SELECT (SELECT count() FROM send_evidence) + (SELECT count() FROM send_leads)").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows are left: %v", rows, err)
	}
}

// fill stores events of types a and b, of leads 1 to n, on the server.
func fill(t *testing.T, db *DB, leads, events uint64) {
	t.Helper()
	err := db.conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO lead_events (organization_id, event_type, phone, occurred_at, metadata, ingested_at, batch_id)
		SELECT %d, ['a', 'a', 'a', 'b'][1 + number %% 4], 1 + intHash64(number) %% %d, fromUnixTimestamp64Milli(%d - toInt64(intHash64(number + 1) %% 100000000), 'UTC'), '{}', now64(3), 1
		FROM numbers(%d)`, campaignOrg, leads, campaignFireAt, events))
	if err != nil {
		t.Fatal(err)
	}
}

// The memory that an evaluation may have is a fraction of what its groups need: they
// go to the disk.
func TestAnEvaluationBeyondItsMemoryGoesToTheDisk(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	fill(t, db, 400_000, 7_000_000)
	e := audience.Evaluation{
		Leads:   audience.Leads{Source: audience.EveryLead},
		Filters: []audience.Filter{{Mode: audience.Include, EventType: "a", MinCount: 5}, ever(audience.Exclude, "b")}, FireAt: campaignFireAt,
	}
	want, err := db.Preview(t.Context(), campaignOrg, e)
	if err != nil {
		t.Fatal(err)
	}
	if want.Kept == 0 || want.DroppedByFilters[0] == 0 || want.DroppedByFilters[1] == 0 {
		t.Fatalf("%+v: nothing is tested", want)
	}
	db.evaluation.Memory = 128 << 20 // the least that filters.memory may be
	got, err := db.Preview(t.Context(), campaignOrg, e)
	if err != nil || gocmp.Diff(want, got) != "" {
		t.Errorf("a preview: %+v, want %+v: %v", got, want, err)
	}
	got, err = db.Materialize(t.Context(), campaignOrg, 1, e, nil)
	if err != nil || gocmp.Diff(want, got) != "" {
		t.Errorf("a materialization: %+v, want %+v: %v", got, want, err)
	}
	db.evaluation.Memory = 1 << 20
	if _, err := db.Preview(t.Context(), campaignOrg, e); leadevents.KindOf(err) != leadevents.Unavailable || !strings.Contains(err.Error(), "memory limit") {
		t.Errorf("with a megabyte: %v", err)
	}
}

// What a programmer may forget never becomes "everybody".
func TestAnEvaluationThatNamesNobodyIsRefused(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	storeEvent(t, db, 1, "came", campaignFireAt, `{}`)
	everybody := audience.Leads{Source: audience.EveryLead}
	for name, e := range map[string]audience.Evaluation{
		"no source":        {},
		"a filter's mode":  {Leads: everybody, Filters: []audience.Filter{{EventType: "a", MinCount: 1}}},
		"a filter's count": {Leads: everybody, Filters: []audience.Filter{{Mode: audience.Include, EventType: "a"}}},
		"the list's mode":  {Leads: everybody, List: &audience.List{ID: 1}},
	} {
		if _, err := db.Preview(t.Context(), campaignOrg, e); err == nil {
			t.Errorf("%s: a preview was made", name)
		}
		if _, err := db.Materialize(t.Context(), campaignOrg, 1, e, nil); err == nil {
			t.Errorf("%s: it was materialized", name)
		}
	}
	if _, err := db.Preview(t.Context(), campaignOrg, audience.Evaluation{Leads: everybody, List: &audience.List{ID: 1, Mode: audience.Exclude}}); err == nil {
		t.Error("a list filter was previewed, which previews do not look at")
	}
	if _, err := db.Materialize(t.Context(), campaignOrg, 0, audience.Evaluation{Leads: everybody}, nil); err == nil {
		t.Error("run 0 was materialized")
	}
	for name, leads := range map[string]audience.Leads{"no layer": {Source: audience.Stored}, "no phone": {Source: audience.Listed}} {
		for run, e := range []audience.Evaluation{{Leads: leads}, {Leads: leads, Filters: []audience.Filter{ever(audience.Exclude, "a")}, List: &audience.List{ID: 5, Mode: audience.Exclude}}} {
			totals, err := db.Materialize(t.Context(), campaignOrg, uint64(run)+10, e, nil)
			if err != nil || totals.Total != 0 || totals.Kept != 0 {
				t.Errorf("%s: %+v, %v", name, totals, err)
			}
			e.List = nil
			if totals, err = db.Preview(t.Context(), campaignOrg, e); err != nil || totals.Total != 0 {
				t.Errorf("preview of %s: %+v, %v", name, totals, err)
			}
		}
	}
}
