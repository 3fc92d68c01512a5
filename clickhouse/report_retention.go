package clickhouse

import (
	"context"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/query/report"
)

// Retention answers as [report.Retention.Follow] does. Errors are those of Timeseries.
func (db *DB) Retention(ctx context.Context, org leadevents.OrgID, r report.Retention) (cohorts []report.Cohort, err error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	err = db.reports.run(ctx, func(ctx context.Context) error {
		cohorts, err = db.retention(ctx, org, r)
		return err
	})
	return cohorts, err
}

func (db *DB) retention(ctx context.Context, org leadevents.OrgID, r report.Retention) ([]report.Cohort, error) {
	starts := r.Starts()
	q := db.newReport(org, r.Range)
	q.parameters["first_type"], q.parameters["returning_type"] = parameterText(r.First.EventType), parameterText(r.Returning.EventType)
	// An event does not return to itself, nor does one of another type that is as old have to
	// come later.
	q.parameters["apart"] = "0"
	if r.First.EventType == r.Returning.EventType {
		q.parameters["apart"] = "1"
	}
	sql := sqlText("report_retention")
	sql = place(sql, "firsts", q.firsts(r))
	sql = place(sql, "start", q.start(occurredAt, starts))
	sql = place(sql, "cohort", q.start("began", starts))
	sql = place(sql, "final", q.final(r.Range, len(r.Returning.Where) > 0))
	sql = place(sql, "where", q.conditions(r.Returning.Where))
	leads, returned := make([]uint64, len(starts)), report.Triangle(len(starts))
	err := q.rows(ctx, sql, func(rows driver.Rows) error {
		var cohort, in int64
		var n uint64
		if err := rows.Scan(&cohort, &in, &n); err != nil {
			return err
		}
		i, _ := slices.BinarySearch(starts, leadevents.Millis(cohort))
		if in == -1 {
			leads[i] = n
			return nil
		}
		j, _ := slices.BinarySearch(starts, leadevents.Millis(in))
		returned[i][j-i] = n
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r.Cohorts(leads, returned), nil
}

// firsts are first events of leads, of all times: their states know them (7 bytes a lead
// and type instead of all events), unless the metadata decides.
func (q *reportQuery) firsts(r report.Retention) string {
	if len(r.First.Where) == 0 {
		return "lead_states"
	}
	return `(SELECT organization_id, event_type, phone, min(occurred_at) AS first_at
            FROM lead_events ` + q.final(r.Range, true) + `
            PREWHERE organization_id = {organization:UInt64} AND event_type = {first_type:String} AND occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
            WHERE ` + q.conditions(r.First.Where) + `
            GROUP BY organization_id, event_type, phone)`
}
