package clickhouse

import (
	"context"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
)

// Runs reads runs, newest first, at most limit; only the one of an id, if that is not
// empty.
func (db *DB) Runs(ctx context.Context, org leadevents.OrgID, id string, after leadevents.RunPosition, limit int) (runs []leadevents.Run, err error) {
	p := clickhouse.Parameters{
		"organization": org.String(), "run": id, "limit": strconv.Itoa(limit),
		"after": strconv.FormatInt(int64(after.FirstAt), 10), "after_run": after.ID,
	}
	err = db.stream(ctx, "runs", p, func(rows driver.Rows) error {
		var r leadevents.Run
		var first, last int64
		err := rows.Scan(&r.ID, &r.Batches, &r.Undone, &r.Undoing, &r.Received, &r.Inserted, &r.Duplicates, &r.Rejected, &first, &last)
		r.FirstAt, r.LastAt = leadevents.Millis(first), leadevents.Millis(last)
		runs = append(runs, r)
		return err
	})
	return runs, err
}
