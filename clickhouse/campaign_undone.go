package clickhouse

import (
	"context"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
)

// From the moment that a batch is to be undone, until that is verified, what it stored
// counts no more: filters on its event type read lead_events instead of lead_states, and
// leave its rows out. A lead has other events too, so it stays; and of the same key a row
// that is stored anew counts, since only rows of the undone batch and of those that lost
// the key to it are left out, each by its own batch.

// openUndo is the condition of the records that begin undos which are not verified, and
// openUndos selects their batches.
const (
	openUndo = ofOrganization + " AND kind = 'undo' AND step = 'begun' AND entry NOT IN " +
		"(SELECT entry FROM journal WHERE " + ofOrganization + " AND kind = 'undo' AND step = 'verified')"
	openUndos = "SELECT batch_id FROM journal WHERE " + openUndo
)

// notUndone is the condition that a row of lead_events is not one of theirs: neither stored
// by one of them (but for keys that another has won: the row stands for that one's), nor
// by a batch that lost the key to it, nor by a request that died with the key.
const notUndone = " AND NOT (batch_id IN (" + openUndos + ") AND (event_type, occurred_at, phone, batch_id) NOT IN (" + undoneLost + ")" +
	" OR (event_type, occurred_at, phone, batch_id) IN (SELECT event_type, occurred_at, phone, loser FROM contested WHERE " + ofOrganization + " AND winner IN (" + openUndos + ")" +
	" AND (event_type, occurred_at, phone, winner) NOT IN (" + undoneLost + "))" +
	" OR (event_type, occurred_at, phone, batch_id, ingested_at) IN (SELECT event_type, occurred_at, phone, batch_id, ingested_at FROM undo_rows WHERE " + ofOrganization + " AND batch_id != owner))"

const undoneLost = "SELECT event_type, occurred_at, phone, loser FROM contested WHERE " + ofOrganization + " AND loser IN (" + openUndos + ")"

// undoing reads of which event types batches are being undone.
func (db *DB) undoing(ctx context.Context, org leadevents.OrgID) (types []string, err error) {
	err = db.query(ctx, "read which batches are being undone", "SELECT DISTINCT event_type FROM journal WHERE "+openUndo,
		clickhouse.Parameters{"organization": org.String()}, func(rows driver.Rows) error {
			var name string
			err := rows.Scan(&name)
			types = append(types, name)
			return err
		})
	return types, err
}

// isUndoing tells whether a batch of the type is being undone.
func (e *excluded) isUndoing(eventType string) bool { return slices.Contains(e.undoing, eventType) }

// standing is the condition that an event is none of a batch that is being undone; nothing
// where none of its type was when the evaluation began.
func (q *question) standing(eventType string) string {
	if !q.isUndoing(eventType) {
		return ""
	}
	return notUndone
}

// undoneMeanwhile tells whether a batch began to be undone since the evaluation began, of
// a type that was not left out: states may have been told anew while they were read. The
// evaluation knows of it from then on.
func (v *evaluation) undoneMeanwhile(ctx context.Context) (bool, error) {
	types, err := v.db.undoing(ctx, v.org)
	if err != nil || !slices.ContainsFunc(types, func(name string) bool { return !v.isUndoing(name) }) {
		return false, err
	}
	v.undoing = append(v.undoing, types...)
	return true, nil
}
