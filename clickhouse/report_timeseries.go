package clickhouse

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/query/report"
)

// Timeseries answers as [report.Timeseries.Count] does. Errors are
// leadevents.QueryLimit where the report is too large, else Unavailable.
func (db *DB) Timeseries(ctx context.Context, org leadevents.OrgID, t report.Timeseries) (all []report.Series, err error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	err = db.reports.run(ctx, func(ctx context.Context) error {
		switch {
		case t.Breakdown != nil:
			all, err = db.timeseriesGroups(ctx, org, t)
		case t.Measure == report.Events && len(t.Where) == 0 && !t.Approximate && !db.reports.Raw:
			all, err = db.timeseriesOfRows(ctx, org, t)
		default:
			all, err = db.timeseries(ctx, org, t)
		}
		return err
	})
	return all, err
}

func (q *reportQuery) measure(t report.Timeseries) string {
	if t.Measure == report.Leads {
		return leads(t.Range)
	}
	return "count()"
}

// timeseriesOfRows counts rows less those that stand twice, where that is cheaper.
func (db *DB) timeseriesOfRows(ctx context.Context, org leadevents.OrgID, t report.Timeseries) ([]report.Series, error) {
	starts := t.Starts()
	all := make([]report.Series, 0, len(t.EventTypes))
	for _, eventType := range t.EventTypes {
		counts, ok, err := db.countIntervals(ctx, org, t, eventType, starts)
		if err != nil {
			return nil, err
		}
		if !ok {
			return db.timeseries(ctx, org, t)
		}
		all = append(all, report.Series{EventType: eventType, Counts: counts})
	}
	return all, nil
}

func (db *DB) timeseries(ctx context.Context, org leadevents.OrgID, t report.Timeseries) ([]report.Series, error) {
	starts := t.Starts()
	q := db.newReport(org, t.Range)
	q.types(t.EventTypes...)
	sql := sqlText("report_timeseries")
	sql = place(sql, "start", q.start(occurredAt, starts))
	sql = place(sql, "measure", q.measure(t))
	sql = place(sql, "final", q.final(t.Range, len(t.Where) > 0 || t.Measure == report.Events))
	sql = place(sql, "where", q.conditions(t.Where))
	all := make([]report.Series, len(t.EventTypes))
	for i, eventType := range t.EventTypes {
		all[i] = report.Series{EventType: eventType, Counts: make([]uint64, len(starts))}
	}
	err := q.rows(ctx, sql, func(rows driver.Rows) error {
		var eventType string
		var start int64
		var n uint64
		if err := rows.Scan(&eventType, &start, &n); err != nil {
			return err
		}
		i, _ := slices.BinarySearch(starts, leadevents.Millis(start))
		all[slices.Index(t.EventTypes, eventType)].Counts[i] = n
		return nil
	})
	return all, err
}

func (db *DB) timeseriesGroups(ctx context.Context, org leadevents.OrgID, t report.Timeseries) ([]report.Series, error) {
	starts := t.Starts()
	q := db.newReport(org, t.Range)
	q.types(t.EventTypes...)
	q.limit(t.Breakdown.Limit)
	sql := sqlText("report_timeseries_groups")
	sql = place(sql, "raw", q.raw("metadata", t.Breakdown.Path))
	sql = place(sql, "final", q.final(t.Range, true))
	sql = place(sql, "where", q.conditions(t.Where))
	sql = place(sql, "size", q.measure(t))
	sql = place(sql, "start", q.start(occurredAt, starts))
	sql = place(sql, "measure", q.measure(t))
	type line struct {
		eventType int
		place     uint64 // of the group; 0 is the others
	}
	found := map[line]report.Series{}
	err := q.rows(ctx, sql, func(rows driver.Rows) error {
		var eventType, key string
		var of line
		var start int64
		var n uint64
		if err := rows.Scan(&eventType, &of.place, &key, &start, &n); err != nil {
			return err
		}
		of.eventType = slices.Index(t.EventTypes, eventType)
		of.place-- // the others come last
		if found[of].Counts == nil {
			group := groupOf(key)
			found[of] = report.Series{EventType: eventType, Group: &group, Counts: make([]uint64, len(starts))}
		}
		i, _ := slices.BinarySearch(starts, leadevents.Millis(start))
		found[of].Counts[i] = n
		return nil
	})
	lines := slices.SortedFunc(maps.Keys(found), func(a, b line) int {
		return cmp.Or(cmp.Compare(a.eventType, b.eventType), cmp.Compare(a.place, b.place))
	})
	all := make([]report.Series, 0, len(lines))
	for _, l := range lines {
		all = append(all, found[l])
	}
	return all, err
}
