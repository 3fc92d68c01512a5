package main

import (
	"context"
	"fmt"
)

// benchQueryReports measures the raw rows' aggregates that reports are held to.
func benchQueryReports(ctx context.Context, w *queryWorld) error {
	count := func(name, final string) contestant {
		return contestant{name, func(int) (trial, error) {
			return trial{run: func(ctx context.Context) error {
				var hours uint64
				return w.conn.QueryRow(ctx, fmt.Sprintf(`SELECT count() FROM (SELECT toStartOfHour(occurred_at) AS hour, count() FROM lead_events %s
					WHERE organization_id = %d AND event_type = '%s' AND occurred_at >= fromUnixTimestamp64Milli(%d, 'UTC') GROUP BY hour)`,
					final, queryOrg, typeMonth, w.now.Add(-30*24*60*60*1e9))).Scan(&hours)
			}}, nil
		}}
	}
	samples, err := compete(ctx, w.rounds, []contestant{count("raw", ""), count("FINAL", "FINAL")}, nil)
	if err != nil {
		return err
	}
	w.report.linef("\nEvents an hour over the last 30 days, of one type.")
	w.report.table([]string{"", "ms"}, [][]string{{"raw rows", samples["raw"].String()}, {"FINAL", samples["FINAL"].String()}})
	return nil
}
