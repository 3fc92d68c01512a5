package schema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/internal/loadgen"
	"leadevents/internal/storetest"
)

func migrated(t *testing.T) (driver.Conn, string) {
	t.Helper()
	store := storetest.ClickHouse(t)
	conn := connect(t, store)
	if err := Migrate(t.Context(), conn, store.Database); err != nil {
		t.Fatal(err)
	}
	return conn, store.Database
}

func one[T any](t *testing.T, conn driver.Conn, sql string) (value T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// API.md 7 promises these names and types to scripts.
func TestTablesHaveThePromisedColumns(t *testing.T) {
	conn, database := migrated(t)
	at := "DateTime64(3, 'UTC')"
	for table, want := range map[string]string{
		"lead_events": "organization_id UInt64, event_type LowCardinality(String), phone UInt64, occurred_at " + at +
			", metadata String, ingested_at " + at + ", batch_id UInt64",
		"lead_states": "organization_id UInt64, event_type LowCardinality(String), phone UInt64, first_at SimpleAggregateFunction(min, " + at +
			"), last_at SimpleAggregateFunction(max, " + at + ")",
	} {
		got := one[string](t, conn, fmt.Sprintf(
			"SELECT arrayStringConcat(groupArray(name || ' ' || type), ', ') FROM (SELECT name, type FROM system.columns WHERE database = '%s' AND table = '%s' ORDER BY position)", database, table))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", table, diff)
		}
	}
}

// insertEvent stores one row; rows with equal tokens must be equal.
func insertEvent(t *testing.T, conn driver.Conn, database, token, occurredAt string, ingested, batch int) {
	t.Helper()
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{
		"async_insert": 0, "insert_deduplicate": 1, "insert_deduplication_token": token,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
	}))
	err := conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s.lead_events (%s) VALUES (42, 'a', 15551234567, '%s', '{}', fromUnixTimestamp64Milli(%d), %d)",
		database, loadgen.Columns, occurredAt, ingested, batch))
	if err != nil {
		t.Fatal(err)
	}
}

func TestAResentInsertAddsNothingToEitherTable(t *testing.T) {
	conn, database := migrated(t)
	for range 3 {
		insertEvent(t, conn, database, "one", "2026-05-12 18:34:00.000", 1, 7)
	}
	insertEvent(t, conn, database, "two", "2026-05-13 18:34:00.000", 2, 8)
	for _, table := range []string{"lead_events", "lead_states"} {
		if got := one[uint64](t, conn, fmt.Sprintf("SELECT count() FROM %s.%s", database, table)); got != 2 {
			t.Errorf("%s has %d rows after four inserts with two tokens, want 2", table, got)
		}
	}
}

func TestRowsWithOneKeyAreOneRow(t *testing.T) {
	conn, database := migrated(t)
	insertEvent(t, conn, database, "one", "2026-05-12 18:34:00.000", 1000, 9)
	insertEvent(t, conn, database, "two", "2026-05-12 18:34:00.000", 2000, 8)
	insertEvent(t, conn, database, "three", "2026-05-12 18:34:00.000", 2000, 7)
	insertEvent(t, conn, database, "four", "2026-05-12 18:34:00.001", 1500, 6)
	read := func(final string) string {
		return one[string](t, conn, fmt.Sprintf(
			"SELECT arrayStringConcat(arraySort(groupArray(toString(batch_id))), ' ') FROM %s.lead_events %s", database, final))
	}
	beforeMerge := read("FINAL")
	if err := conn.Exec(t.Context(), fmt.Sprintf("OPTIMIZE TABLE %s.lead_events FINAL", database)); err != nil {
		t.Fatal(err)
	}
	if want := "6 7"; beforeMerge != want || read("") != want {
		t.Errorf("survivors are %q under FINAL and %q after a merge, want %q both times", beforeMerge, read(""), want)
	}
}

// Thirty years in one insert stay below the 100 partitions that a server's
// default allows an insert.
func TestABackfillOfDecadesIsOneInsert(t *testing.T) {
	conn, database := migrated(t)
	now := leadevents.Millis(1_795_000_000_000) // 2026-11-18
	g, err := loadgen.New(loadgen.Config{Seed: 1, Org: 42, Times: loadgen.History(now, 30, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(t.Context(), g.InsertSQL(database+".lead_events", 0, 50_000)); err != nil {
		t.Fatal(err)
	}
	events := one[uint64](t, conn, fmt.Sprintf("SELECT count() FROM %s.lead_events FINAL", database))
	states := one[uint64](t, conn, fmt.Sprintf("SELECT uniqExact(event_type, phone) FROM %s.lead_states", database))
	leads := one[uint64](t, conn, fmt.Sprintf("SELECT uniqExact(event_type, phone) FROM %s.lead_events", database))
	if events != 50_000 || states != leads {
		t.Errorf("%d events (want 50000), %d leads' states of %d leads", events, states, leads)
	}
}

// A power cut takes at most what a client sends again: never half of what was
// acknowledged as one, nor a key that was told revoked.
func TestWhatIsAcknowledgedAsOneIsSynced(t *testing.T) {
	conn, database := migrated(t)
	for _, table := range []string{
		"organizations", "api_keys", "signing_keys", "audit_log", "organization_limits", "audience_uploads", "audience_leads", "audience_layers", "sends", "send_leases", "send_lists", "send_leads", "send_evidence", "journal", "send_list_erasures", "data_keys", "retention",
	} {
		settings := one[string](t, conn, fmt.Sprintf("SELECT engine_full FROM system.tables WHERE database = '%s' AND name = '%s'", database, table))
		for _, setting := range []string{"fsync_after_insert = 1", "fsync_part_directory = 1", "min_rows_to_fsync_after_merge = 1"} {
			if !strings.Contains(settings, setting) {
				t.Errorf("%s is without %s: %s", table, setting, settings)
			}
		}
	}
}
