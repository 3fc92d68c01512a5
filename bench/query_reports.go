package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	store "leadevents/clickhouse"
	analysts "leadevents/query/report"
)

// What reports must reach.
const (
	goalTimeseries = 300 * time.Millisecond // hours of a month of one type
	goalFunnel     = 2 * time.Second        // three steps over 30 days
	goalOverRaw    = 2.0                    // a report over the same of all rows, duplicates too
)

// queryReport is a report that is measured.
type queryReport struct {
	name string
	ask  func(ctx context.Context, db *store.DB) (any, error)
	goal time.Duration // 0 for none
}

// reports are those of a month that ends now.
func (w *queryWorld) reports() []queryReport {
	month := analysts.Range{From: w.now.Add(-30 * 24 * time.Hour), To: w.now}
	year := analysts.Range{From: w.now.Add(-365 * 24 * time.Hour), To: w.now}
	of := func(eventType string) analysts.Selection { return analysts.Selection{EventType: eventType} }
	hours := analysts.Timeseries{Range: month, EventTypes: []string{typeMonth}, Measure: analysts.Events, Interval: analysts.Hour, Zone: analysts.UTC}
	leads := hours
	leads.Measure = analysts.Leads
	divided := hours
	divided.Interval, divided.Breakdown = analysts.Day, &analysts.Split{Path: "utm.source", Limit: 3}
	timeseries := func(q analysts.Timeseries) func(context.Context, *store.DB) (any, error) {
		return func(ctx context.Context, db *store.DB) (any, error) { return db.Timeseries(ctx, queryOrg, q) }
	}
	breakdown := analysts.Breakdown{Range: year, Selection: of("mastery_purchase"), Split: analysts.Split{Path: "items", Limit: 10}, OrderBy: analysts.Events, Number: &analysts.Number{Path: "amountUsd", Quantiles: []float64{0.5, 0.9}}}
	funnel := analysts.Funnel{Range: month, Steps: []analysts.Selection{of("webinar_registered"), of("webinar_attended"), of("mastery_purchase")}, Minutes: 7 * 24 * 60}
	divides := funnel
	divides.Breakdown = &analysts.Split{Path: "source", Limit: 3}
	retention := analysts.Retention{Range: analysts.Range{From: w.now.Add(-70 * 24 * time.Hour), To: w.now}, First: of("webinar_registered"), Returning: of(typeMonth), Period: analysts.Week, Zone: analysts.UTC}
	funnels := func(q analysts.Funnel) func(context.Context, *store.DB) (any, error) {
		return func(ctx context.Context, db *store.DB) (any, error) { return db.Funnel(ctx, queryOrg, q) }
	}
	return []queryReport{
		{"events an hour, 30 days, " + typeMonth, timeseries(hours), goalTimeseries},
		{"leads an hour, the same", timeseries(leads), 0},
		{"events a day by utm.source, the same", timeseries(divided), 0},
		{"breakdown of a year of purchases, with numbers", func(ctx context.Context, db *store.DB) (any, error) { return db.Breakdown(ctx, queryOrg, breakdown) }, 0},
		{"funnel of three steps, 30 days", funnels(funnel), goalFunnel},
		{"the same by source", funnels(divides), 0},
		{"retention, ten weeks", func(ctx context.Context, db *store.DB) (any, error) { return db.Retention(ctx, queryOrg, retention) }, 0},
	}
}

// benchQueryReports measures reports beside the same questions to all rows, and how the
// first time differs from the others.
func benchQueryReports(ctx context.Context, w *queryWorld) (err error) {
	open := func(raw bool) (*store.DB, error) {
		e := w.stand.engine.Endpoint()
		return store.Open(store.Config{
			Addrs: []string{e.Native}, User: e.User, Password: e.Password, Database: queryDatabase,
			Reports: store.ReportConfig{Raw: raw, Timeout: 10 * time.Minute},
		})
	}
	ours, err := open(false)
	if err != nil {
		return err
	}
	raw, err := open(true)
	if err != nil {
		return errors.Join(err, ours.Close())
	}
	defer func() { err = errors.Join(err, ours.Close(), raw.Close()) }()
	var rows [][]string
	var goals []func()
	for _, q := range w.reports() {
		m := newMeter(w.conn)
		began := time.Now()
		if _, err := q.ask(ctx, ours); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		first := time.Since(began)
		way := func(name string, db *store.DB) contestant {
			return contestant{name, func(int) (trial, error) {
				return trial{run: m.around(name, func(ctx context.Context) error {
					_, err := q.ask(ctx, db)
					return err
				})}, nil
			}}
		}
		samples, err := compete(ctx, w.rounds, []contestant{way("ours", ours), way("raw", raw)}, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		cpu, memory, err := m.spent(ctx, "ours")
		if err != nil {
			return err
		}
		rawCPU, _, err := m.spent(ctx, "raw")
		if err != nil {
			return err
		}
		took, over := samples["ours"].median(), samples["raw"].median()
		rows = append(rows, []string{
			q.name, samples["ours"].String(), samples["raw"].String(), ratio(took, over),
			fmt.Sprintf("%.0f", cpu.Seconds()*1000), fmt.Sprintf("%.0f", rawCPU.Seconds()*1000), fmt.Sprint(memory >> 20), ms(first),
		})
		goals = append(goals, func() {
			if q.goal > 0 {
				w.report.goal(q.name, took, q.goal, 0)
			}
			w.report.atMost("× the raw rows: "+q.name, float64(took)/float64(over), goalOverRaw)
		})
	}
	w.report.linef("\nReports over events, each once, beside the same over all rows that are stored; %d rounds. The server's processor time, the most memory of a query, and the very first time, when nothing is known of duplicates.", w.rounds)
	w.report.table([]string{"", "ms", "raw rows ms", "× raw", "CPU ms", "raw CPU ms", "peak MiB", "first ms"}, rows)
	for _, goal := range goals {
		goal()
	}
	return w.throughHTTP(ctx)
}

// throughHTTP is the first report as a client sees it.
func (w *queryWorld) throughHTTP(ctx context.Context) error {
	body := fmt.Sprintf(`{"eventTypes":[%q],"interval":"hour","from":%q,"to":%q}`, typeMonth, w.now.Add(-30*24*time.Hour), w.now)
	var answers sample
	for round := range w.rounds + 1 { // the first warms up
		var answer struct {
			Series []struct{ Counts []uint64 }
		}
		began := time.Now()
		if err := w.server.doJSON(ctx, "POST", "/api/v1/reports/timeseries", body, &answer); err != nil {
			return err
		}
		if len(answer.Series) != 1 || len(answer.Series[0].Counts) < 720 {
			return fmt.Errorf("the timeseries has %d series", len(answer.Series))
		}
		if round > 0 {
			answers = append(answers, time.Since(began))
		}
	}
	w.report.linef("\nThrough HTTP: POST …/reports/timeseries, events an hour over 30 days: %s ms.", answers)
	return nil
}
