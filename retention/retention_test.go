package retention_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/audit"
	"leadevents/clickhouse"
	"leadevents/clickhouse/schema"
	"leadevents/internal/storetest"
	"leadevents/query/audience"
	"leadevents/retention"
)

const org leadevents.OrgID = 42

const day = leadevents.Millis(24 * 60 * 60 * 1000)

type alone struct{}

func (alone) Hold(context.Context, string, time.Duration) (bool, func(), error) {
	return true, func() {}, nil
}

func opened(t *testing.T) *clickhouse.DB {
	t.Helper()
	s := storetest.ClickHouse(t)
	db, err := clickhouse.Open(clickhouse.Config{Addrs: []string{s.Native}, Database: s.Database, User: s.User, Password: s.Password})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := schema.Migrate(t.Context(), db.Conn(), s.Database); err != nil {
		t.Fatal(err)
	}
	return db
}

// config has the ledger's defaults, and its longest slot.
var config = retention.Config{Horizon: 72 * time.Hour, ShortHorizon: 10 * time.Minute, Slot: (1 << 28) * time.Millisecond}

func TestTheGraceOutlivesEveryKey(t *testing.T) {
	for days, want := range map[int]string{1: "123h33m55.456s", 2: "99h33m55.456s", 3: "99h33m55.456s", 4: "99h33m55.456s", 36_500: "99h33m55.456s"} {
		if got := config.Grace(days); got.String() != want {
			t.Errorf("%d days: %s, want %s", days, got, want)
		}
		// The longest that a bucket lives which holds an event that occurred at the begin of
		// its slot: sealed at the last moment, under an Idempotency-Key.
		kept := time.Duration(days) * 24 * time.Hour
		for _, life := range []time.Duration{config.Slot + config.Horizon, config.Slot + kept + leadevents.IdempotencyLife, config.Slot + kept + config.ShortHorizon} {
			if removed := kept + config.Grace(days); removed < life+30*time.Minute {
				t.Errorf("%d days: a row is removed after %s, its key lives %s", days, removed, life)
			}
		}
	}
	long := config
	long.Horizon = 365 * 24 * time.Hour
	if got := long.Grace(10); got < 355*24*time.Hour {
		t.Errorf("with a horizon of a year: %s", got)
	}
}

func TestRulesAreReadAndChanged(t *testing.T) {
	db := opened(t)
	k := retention.New(config, db, alone{})
	see := func(org leadevents.OrgID, want retention.Rules) {
		t.Helper()
		got, err := k.Rules(t.Context(), org)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(&want, got); diff != "" {
			t.Errorf("organization %d: %s", org, diff)
		}
		cached, err := k.Of(t.Context(), org)
		if err != nil || cached.Of("x") != want.Days || cached.Of("page_view") != (&want).Of("page_view") {
			t.Errorf("organization %d, as requests see it: %+v, %v", org, cached, err)
		}
	}
	none := retention.Rules{Types: map[string]int{}}
	see(org, none)
	first := retention.Rules{Days: 365, Types: map[string]int{"page_view": 30, "invoice_paid": retention.Forever, "default": 1, "": 7}}
	if err := k.Set(t.Context(), org, &first); leadevents.KindOf(err) != leadevents.InvalidRequest {
		t.Errorf("a type without a name: %v", err)
	}
	delete(first.Types, "")
	for range 2 {
		if err := k.Set(t.Context(), org, &first); err != nil {
			t.Fatal(err)
		}
		see(org, first)
	}
	see(org+1, none)
	second := retention.Rules{Types: map[string]int{"page_view": 31}}
	if err := k.Set(t.Context(), org, &second); err != nil {
		t.Fatal(err)
	}
	see(org, second)
	if err := k.Set(t.Context(), org, &none); err != nil {
		t.Fatal(err)
	}
	see(org, none)
	if rules, err := k.Of(t.Context(), org); rules != nil || err != nil {
		t.Errorf("an organization without rules has %+v, %v", rules, err)
	}
	entries, err := db.AuditEntries(t.Context(), org, audit.Filter{}, audit.Position{}, 10)
	if err != nil || len(entries) != 3 || !strings.Contains(string(entries[2].Detail), `"days":365`) || !strings.Contains(string(entries[1].Detail), `"eventType invoice_paid":"default"`) {
		t.Errorf("audit log: %+v, %v", entries, err)
	}
	for _, wrong := range []retention.Rules{{Days: -1}, {Days: 36_501}, {Types: map[string]int{"a": -1}}, {Types: map[string]int{strings.Repeat("é", 129): 1}}, {Types: map[string]int{"\xff": 1}}} {
		if err := k.Set(t.Context(), org, &wrong); leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

func TestWhatClientsSendIsReadStrictly(t *testing.T) {
	n := func(days int) *int { return &days }
	for _, c := range []struct {
		claim string
		in    retention.Shown
		want  string
	}{
		{"zero is no number of days", retention.Shown{Days: n(0)}, "days must be 1 to 36500, or null for ever"},
		{"nor is a negative one", retention.Shown{EventTypes: []retention.ShownType{{EventType: "a", Days: n(-1)}}}, "days of an eventType must be"},
		{"nor one beyond", retention.Shown{Days: n(36_501)}, "days must be 1 to 36500"},
		{"a type twice", retention.Shown{EventTypes: []retention.ShownType{{EventType: "a", Days: n(1)}, {EventType: "a", Days: n(2)}}}, "one eventType twice"},
		{"a type without a name", retention.Shown{EventTypes: []retention.ShownType{{Days: n(1)}}}, "1 to 128 characters"},
	} {
		if _, err := c.in.Rules(); leadevents.KindOf(err) != leadevents.InvalidRequest || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.claim, err)
		}
	}
	in := retention.Shown{Days: n(7), EventTypes: []retention.ShownType{{"a", nil}, {"b", n(3)}}}
	rules, err := in.Rules()
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(in, rules.Show()); diff != "" {
		t.Error(diff)
	}
}

// stopped is a store whose clock does not go on: once a day a border moves.
type stopped struct {
	retention.Store
	now leadevents.Millis
}

func (s stopped) Clock(context.Context) (leadevents.Millis, error) { return s.now, nil }

// What has expired is removed, to the millisecond of a day, and nothing else: not of
// another type, not of another organization, not what is kept for ever.
func TestASweepRemovesWhatHasExpiredAndNothingElse(t *testing.T) {
	db := opened(t)
	now, err := db.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := retention.New(config, stopped{db, now}, alone{})
	rules := retention.Rules{Days: 100, Types: map[string]int{"short": 10, "kept": retention.Forever}}
	if err := k.Set(t.Context(), org, &rules); err != nil {
		t.Fatal(err)
	}
	// The moment before which a sweep removes, by the formula of the package comment.
	edge := func(days int) leadevents.Millis {
		before := now.Add(-time.Duration(days)*24*time.Hour - config.Grace(days))
		return before - before%day
	}
	stored := map[string]bool{}
	batch := leadevents.BatchID(0)
	store := func(org leadevents.OrgID, eventType string, phone leadevents.Phone, at leadevents.Millis) {
		t.Helper()
		batch++
		rows := &leadevents.Rows{IngestedAt: now}
		rows.Append(org, eventType, leadevents.Event{Phone: phone, OccurredAt: at, Metadata: []byte("{}")}, batch)
		if err := db.InsertEvents(t.Context(), rows, batch.String(), ""); err != nil {
			t.Fatal(err)
		}
		days := 0
		switch {
		case org != 42:
		case eventType == "short":
			days = 10
		case eventType != "kept":
			days = 100
		}
		if days == 0 || at >= edge(days) {
			stored[fmt.Sprintf("%d %s %d %d", org, eventType, phone, at)] = true
		}
	}
	for _, of := range []leadevents.OrgID{41, 42, 43} {
		for _, eventType := range []string{"short", "shor", "shorts", "kept", "long"} {
			for i, at := range []leadevents.Millis{0, 1, edge(10) - 1, edge(10), edge(10) + 1, edge(100) - 1, edge(100), edge(100) + 1, edge(10) - day, now, now + day} {
				store(of, eventType, leadevents.Phone(15550000000+i), at)
				store(of, eventType, 15559999999, at) // one lead with all of them
			}
		}
	}
	for range 2 { // and nothing more the second time
		if _, err := k.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		rows, err := db.Conn().Query(t.Context(), "SELECT organization_id, event_type, phone, toUnixTimestamp64Milli(occurred_at) FROM lead_events")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var org, phone uint64
			var eventType string
			var at int64
			if err := rows.Scan(&org, &eventType, &phone, &at); err != nil {
				t.Fatal(err)
			}
			got[fmt.Sprintf("%d %s %d %d", org, eventType, phone, at)] = true
		}
		_ = rows.Close()
		if diff := gocmp.Diff(stored, got); diff != "" {
			t.Fatalf("stored (-want +got): %s", diff)
		}
	}
	// States are of what is there; no state begins before the border.
	for what, sql := range map[string]string{
		"leads with events and without a state": "SELECT count() FROM (SELECT DISTINCT organization_id, event_type, phone FROM lead_events) WHERE (organization_id, event_type, phone) NOT IN (SELECT organization_id, event_type, phone FROM lead_states)",
		"states of leads without events":        "SELECT count() FROM lead_states WHERE (organization_id, event_type, phone) NOT IN (SELECT organization_id, event_type, phone FROM lead_events)",
		"states that end elsewhere": "SELECT count() FROM (SELECT organization_id, event_type, phone, max(last_at) AS last FROM lead_states GROUP BY ALL) AS s " +
			"INNER JOIN (SELECT organization_id, event_type, phone, max(occurred_at) AS last FROM lead_events GROUP BY ALL) AS e USING (organization_id, event_type, phone) WHERE s.last != e.last",
		"states that begin before": fmt.Sprintf("SELECT count() FROM lead_states WHERE organization_id = 42 AND event_type = 'short' AND toUnixTimestamp64Milli(first_at) < %d", edge(10)),
	} {
		var n uint64
		if err := db.Conn().QueryRow(t.Context(), sql).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
	var masked uint64
	if err := db.Conn().QueryRow(t.Context(), "SELECT count() FROM lead_events SETTINGS apply_deleted_mask = 0").Scan(&masked); err != nil || masked != uint64(len(stored)) {
		t.Errorf("%d rows are on the disk, %d are stored: %v", masked, len(stored), err)
	}
}

// Filters judge by the border itself, whether the row is there or not: "ever" is "ever
// within the retention", by states and by events, in previews and materializations.
func TestFiltersDoNotCountWhatHasExpired(t *testing.T) {
	db := opened(t)
	k := retention.New(config, db, alone{})
	if err := k.Set(t.Context(), org, &retention.Rules{Types: map[string]int{"seen": 30}}); err != nil {
		t.Fatal(err)
	}
	now, err := db.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const young, old, both = leadevents.Phone(15550000001), leadevents.Phone(15550000002), leadevents.Phone(15550000003)
	rows := &leadevents.Rows{IngestedAt: now}
	add := func(phone leadevents.Phone, eventType string, age leadevents.Millis) {
		rows.Append(org, eventType, leadevents.Event{Phone: phone, OccurredAt: now - age, Metadata: []byte("{}")}, 1)
	}
	const minute = leadevents.Millis(60_000) // the clock goes on while this runs
	add(young, "seen", 30*day-30*minute)
	add(old, "seen", 30*day+1)
	add(old, "other", 300*day) // kept for ever
	add(both, "seen", 1)
	add(both, "seen", 31*day)
	if err := db.InsertEvents(t.Context(), rows, "events", ""); err != nil {
		t.Fatal(err)
	}
	minutes := audience.MaxMinutes
	run := uint64(0)
	for _, c := range []struct {
		claim  string
		filter audience.Filter
		kept   uint64
	}{
		{"ever", audience.Filter{Mode: audience.Include, EventType: "seen", MinCount: 1}, 2},
		{"never", audience.Filter{Mode: audience.Exclude, EventType: "seen", MinCount: 1}, 1},
		{"within longer than it is kept", audience.Filter{Mode: audience.Include, EventType: "seen", MinCount: 1, Within: &minutes}, 2},
		{"twice", audience.Filter{Mode: audience.Include, EventType: "seen", MinCount: 2}, 0},
		{"of a type that is kept", audience.Filter{Mode: audience.Include, EventType: "other", MinCount: 1}, 1},
	} {
		run++
		e := audience.Evaluation{
			Leads:   audience.Leads{Source: audience.Listed, Phones: []leadevents.Phone{young, old, both}},
			Filters: []audience.Filter{c.filter}, FireAt: now,
		}
		got, err := db.Preview(t.Context(), org, e)
		if err != nil || got.Kept != c.kept {
			t.Errorf("%s: a preview keeps %d, want %d: %v", c.claim, got.Kept, c.kept, err)
		}
		if got, err = db.Materialize(t.Context(), org, run, e, nil); err != nil || got.Kept != c.kept {
			t.Errorf("%s: a materialization keeps %d, want %d: %v", c.claim, got.Kept, c.kept, err)
		}
		e.Leads = audience.Leads{Source: audience.EverHad, EventType: "seen"}
		if got, err = db.Preview(t.Context(), org, e); err != nil || got.Total != 2 {
			t.Errorf("%s: %d leads ever had it, want 2: %v", c.claim, got.Total, err)
		}
		e.Leads = audience.Leads{Source: audience.EveryLead}
		if got, err = db.Preview(t.Context(), org, e); err != nil || got.Total != 3 {
			t.Errorf("%s: %d leads in all, want 3: %v", c.claim, got.Total, err)
		}
	}
}
