package clickhouse

import (
	"testing"

	"leadevents"
	"leadevents/ingest/ledger"
	"leadevents/internal/storetest"
)

// A repair by receipts adds the states of rows whose batch has none, a whole one all.
func TestStatesAreRepairedWhereReceiptsLack(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	ctx := t.Context()
	exec := func(sql string) {
		t.Helper()
		if err := db.conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	// Organization, first phone, occurred and ingested at (s of January 2026), batch: ten leads each.
	exec(`INSERT INTO lead_events
		SELECT b.1, 'e', b.2 + number, toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + INTERVAL b.3 SECOND, '{}', toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + INTERVAL b.4 SECOND, b.5
		FROM (SELECT arrayJoin([
			(1, 15550000000, 100, 500, 7), -- with a receipt
			(1, 15550000100, 100, 500, 8), -- without
			(2, 15550000200, 100, 500, 7), -- without: the receipt is another organization's
			(1, 15550000300, 100, 500, 9), -- with one, which is not the latest version
			(1, 15550000400, 99, 500, 8), (1, 15550000500, 200, 500, 8), (1, 15550000600, 100, 400, 8), (1, 15550000700, 100, 600, 8) -- outside
		]) AS b) AS batches, numbers(10) AS numbers`)
	exec("TRUNCATE TABLE lead_states")
	receipt := func(org leadevents.OrgID, batch leadevents.BatchID, state leadevents.BatchState, at leadevents.Millis) leadevents.Receipt {
		return leadevents.Receipt{Org: org, Batch: batch, EventType: "e", State: state, Received: 10, Inserted: 10, CreatedAt: at, FinishedAt: at}
	}
	err := db.SaveReceipts(ctx, []leadevents.Receipt{
		receipt(1, 7, leadevents.BatchDone, 1_795_000_000_000), receipt(1, 9, leadevents.BatchDone, 1_795_000_000_000), receipt(1, 9, leadevents.BatchUndone, 1_795_000_000_001),
	})
	if err != nil {
		t.Fatal(err)
	}
	const begin = leadevents.Millis(1_767_225_600_000) // 2026-01-01
	s := ledger.Stretch{From: begin + 100_000, To: begin + 200_000, IngestedSince: begin + 500_000, IngestedUntil: begin + 600_000}
	wants := func(want string) {
		t.Helper()
		var got string
		err := db.conn.QueryRow(ctx, `SELECT arrayStringConcat(arraySort(groupArray(n)), ' ') FROM (
			SELECT concat(toString(organization_id), ':', toString(intDiv(phone, 100) % 10), '×', toString(uniqExact(phone)), '@', toString(toUnixTimestamp(min(first_at)) - 1767225600)) AS n
			FROM lead_states GROUP BY organization_id, intDiv(phone, 100))`).Scan(&got)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("states of %q, want %q", got, want)
		}
	}
	if err := db.RepairStates(ctx, s, false); err != nil {
		t.Fatal(err)
	}
	wants("1:1×10@100 2:2×10@100")
	if err := db.RepairStates(ctx, s, true); err != nil {
		t.Fatal(err)
	}
	wants("1:0×10@100 1:1×10@100 1:3×10@100 2:2×10@100")
}
