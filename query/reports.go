package query

import (
	"context"

	"leadevents"
	"leadevents/query/report"
)

// ReportStore answers reports (ClickHouse), as package report says what they mean. Its
// errors are *leadevents.Error: QueryLimit where a report is too large, and bugs.
type ReportStore interface {
	Timeseries(ctx context.Context, org leadevents.OrgID, q report.Timeseries) ([]report.Series, error)
	Breakdown(ctx context.Context, org leadevents.OrgID, q report.Breakdown) (report.Parts, error)
	Funnel(ctx context.Context, org leadevents.OrgID, q report.Funnel) (report.Ways, error)
	Retention(ctx context.Context, org leadevents.OrgID, q report.Retention) ([]report.Cohort, error)
}

// rangeJSON is what every report's answer says of its question.
type rangeJSON struct {
	From        string `json:"from"`
	To          string `json:"to"`
	Approximate bool   `json:"approximate"`
}

func shownRange(r report.Range) rangeJSON {
	return rangeJSON{r.From.String(), r.To.String(), r.Approximate}
}

type timeseriesJSON struct {
	rangeJSON
	Measure   report.Measure  `json:"measure"`
	Interval  report.Interval `json:"interval"`
	TimeZone  string          `json:"timeZone"`
	Intervals []string        `json:"intervals"` // their starts
	Series    []report.Series `json:"series"`
}

func shownTimeseries(q report.Timeseries, series []report.Series) timeseriesJSON {
	return timeseriesJSON{shownRange(q.Range), q.Measure, q.Interval, q.Zone.String(), texts(q.Starts()), append([]report.Series{}, series...)}
}

func texts(moments []leadevents.Millis) []string {
	all := make([]string, len(moments))
	for i, m := range moments {
		all[i] = m.String()
	}
	return all
}

type breakdownJSON struct {
	rangeJSON
	EventType string         `json:"eventType"`
	Path      string         `json:"path"`
	OrderBy   report.Measure `json:"orderBy"`
	report.Parts
}

type funnelJSON struct {
	rangeJSON
	report.Ways
}

type retentionJSON struct {
	rangeJSON
	Period   report.Interval `json:"period"`
	TimeZone string          `json:"timeZone"`
	Cohorts  []cohortJSON    `json:"cohorts"`
}

type cohortJSON struct {
	Start string `json:"start"`
	report.Cohort
}

func shownRetention(q report.Retention, cohorts []report.Cohort) retentionJSON {
	shown := retentionJSON{shownRange(q.Range), q.Period, q.Zone.String(), make([]cohortJSON, len(cohorts))}
	for i, c := range cohorts {
		shown.Cohorts[i] = cohortJSON{c.Start.String(), c}
	}
	return shown
}
