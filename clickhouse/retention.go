package clickhouse

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/retention"
)

var _ retention.Store = (*DB)(nil)

// RetentionRecords reads the rules of one organization (0: everyone's), taken back ones too.
func (db *DB) RetentionRecords(ctx context.Context, org leadevents.OrgID) (all []retention.Record, err error) {
	err = db.stream(ctx, "retention_rules", clickhouse.Parameters{"organization": org.String()}, func(rows driver.Rows) error {
		var id uint64
		var days int32
		var r retention.Record
		err := rows.Scan(&id, &r.EveryType, &r.EventType, &days, &r.Version)
		r.Org, r.Days = leadevents.OrgID(id), int(days)
		all = append(all, r)
		return err
	})
	return all, err
}

// PutRetention writes rules, in one block: all of them or none.
func (db *DB) PutRetention(ctx context.Context, records []retention.Record) error {
	batch, err := db.batch(waited(ctx), "INSERT INTO retention (organization_id, every_type, event_type, days, version)")
	for _, r := range records {
		if err == nil {
			err = batch.Append(uint64(r.Org), r.EveryType, r.EventType, int32(r.Days), r.Version)
		}
	}
	if err == nil {
		err = batch.Send()
	}
	if err != nil {
		return unavailable(fmt.Errorf("write %d rules of retention: %w", len(records), err))
	}
	return nil
}

// StoredTypes are the types of which an organization has rows, or states: a removal that
// was cut off between them leaves these.
func (db *DB) StoredTypes(ctx context.Context, org leadevents.OrgID) (types []string, err error) {
	err = db.query(ctx, "read the stored event types", "SELECT DISTINCT event_type FROM lead_events WHERE "+ofOrganization+" UNION DISTINCT SELECT DISTINCT event_type FROM lead_states WHERE "+ofOrganization, clickhouse.Parameters{"organization": org.String()},
		func(rows driver.Rows) error {
			var t string
			err := rows.Scan(&t)
			types = append(types, t)
			return err
		})
	return types, err
}

// Expire removes the events of a type that occurred before a moment: one stretch of the
// sorting key. What is told of them alone goes too: contests, states that end before it,
// and the beginnings of others.
func (db *DB) Expire(ctx context.Context, org leadevents.OrgID, eventType string, before leadevents.Millis) (removed uint64, err error) {
	const ofType = ofOrganization + " AND event_type = {event_type:String}"
	const moment = "fromUnixTimestamp64Milli({before:Int64}, 'UTC')"
	p := clickhouse.Parameters{"organization": org.String(), "event_type": eventType, "before": strconv.FormatInt(int64(before), 10)}
	for i, s := range []struct{ table, where, change string }{
		{"lead_events", ofType + " AND occurred_at < " + moment, ""},
		{"contested", ofType + " AND occurred_at < " + moment, ""},
		{"lead_states", ofType + " AND last_at < " + moment, ""},
		{"lead_states", ofType + " AND first_at < " + moment, "UPDATE first_at = " + moment},
	} {
		n := uint64(0)
		err := db.query(ctx, "look for expired rows of "+s.table, "SELECT count() FROM "+s.table+" WHERE "+s.where, p, func(rows driver.Rows) error { return rows.Scan(&n) })
		if err != nil {
			return removed, err
		}
		if n == 0 {
			continue
		}
		statement := clickhouse.Context(params(ctx, p), clickhouse.WithSettings(clickhouse.Settings{"lightweight_deletes_sync": 2, "mutations_sync": 2}))
		text := "DELETE FROM " + s.table + " WHERE " + s.where
		if s.change != "" {
			text = "ALTER TABLE " + s.table + " " + s.change + " WHERE " + s.where
		}
		if err := db.silently(statement, text); err != nil {
			return removed, unavailable(fmt.Errorf("remove expired rows of %s: %w", s.table, err))
		}
		if i == 0 {
			removed = n
		}
	}
	return removed, nil
}
