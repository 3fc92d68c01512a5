package clickhouse

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/journal"
)

// Conditions by what entries have written down. The rows are read on the server, also by
// a mutation that it goes on with after a restart: the text of none shows a phone.
const (
	ofUndoTypes = ofOrganization + " AND event_type IN {types:Array(String)}"
	ofUndoRows  = ofUndoTypes + " AND (event_type, occurred_at, phone, batch_id, ingested_at) IN (SELECT event_type, occurred_at, phone, batch_id, ingested_at FROM undo_rows WHERE " +
		ofOrganization + " AND entry IN {entries:Array(UInt64)})"
	ofUndoLeads = ofUndoTypes + " AND (event_type, phone) IN (SELECT event_type, phone FROM undo_rows WHERE " + ofOrganization + " AND entry IN {entries:Array(UInt64)})"
)

// CollectUndone writes down the rows that are to be removed.
func (db *DB) CollectUndone(ctx context.Context, org leadevents.OrgID, of []journal.Undoing, look journal.Look, settled leadevents.Millis) (map[uint64]journal.Counts, error) {
	p := undoParameters(org, of)
	p["settled"] = strconv.FormatInt(int64(settled), 10)
	for _, document := range map[journal.Look][]string{
		journal.FirstLook: {"undo_collect_own", "undo_collect_won", "undo_collect_versions"},
		journal.NextLook:  {"undo_collect_own", "undo_collect_losers", "undo_collect_dead"},
		journal.LastLook:  {"undo_collect_own", "undo_collect_losers"},
	}[look] {
		if err := db.undoWrite(ctx, document, p); err != nil {
			return nil, err
		}
	}
	counts := map[uint64]journal.Counts{}
	err := db.stream(ctx, "undo_counts", p, func(rows driver.Rows) error {
		var entry, keys, states uint64
		err := rows.Scan(&entry, &keys, &states)
		counts[entry] = journal.Counts{journal.Keys: keys, journal.States: states}
		return err
	})
	return counts, err
}

// RemoveUndone deletes what was written down.
func (db *DB) RemoveUndone(ctx context.Context, org leadevents.OrgID, of []journal.Undoing) error {
	p := undoParameters(org, of)
	there, err := db.undoNumber(ctx, "undo_left", p)
	if err != nil || there == 0 {
		return err
	}
	return db.undoDelete(ctx, "lead_events", ofUndoRows, p)
}

func (db *DB) undoDelete(ctx context.Context, table, where string, p clickhouse.Parameters) error {
	statement := clickhouse.Context(params(ctx, p), clickhouse.WithSettings(clickhouse.Settings{"lightweight_deletes_sync": 2}))
	if err := db.silently(statement, "DELETE FROM "+table+" WHERE "+where); err != nil {
		return unavailable(fmt.Errorf("undo in %s: %w", table, err))
	}
	return nil
}

// RestateUndone tells states anew: those of the leads are deleted, and made from the rows
// that are there. Whoever needs them meanwhile reads the rows (campaign_undone.go).
func (db *DB) RestateUndone(ctx context.Context, org leadevents.OrgID, of []journal.Undoing) error {
	p := undoParameters(org, of)
	wrong, err := db.undoNumber(ctx, "undo_states_left", p)
	if err != nil || wrong == 0 {
		return err
	}
	if err := db.undoDelete(ctx, "lead_states", ofUndoLeads, p); err != nil {
		return err
	}
	return db.undoWrite(ctx, "undo_states", p)
}

// MarkUndone gives the batches' receipts the state.
func (db *DB) MarkUndone(ctx context.Context, org leadevents.OrgID, of []journal.Undoing) error {
	return db.undoWrite(ctx, "undo_mark", undoParameters(org, of))
}

// ForgetUndone removes what CollectUndone has written down.
func (db *DB) ForgetUndone(ctx context.Context, org leadevents.OrgID, of []journal.Undoing) error {
	return db.undoDelete(ctx, "undo_rows", ofOrganization+" AND entry IN {entries:Array(UInt64)}", undoParameters(org, of))
}
