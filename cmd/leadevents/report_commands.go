package main

import (
	"github.com/spf13/cobra"

	"leadevents/query/report"
)

func newReportTimeseries() *cobra.Command {
	var q report.Timeseries
	var a *asking
	var measure, interval, by string
	var limit int
	cmd := &cobra.Command{
		Use:   "timeseries TYPE…",
		Short: "Events or leads in each minute, hour, day, week or month",
		Long: `Counts the events of each TYPE, or the leads that have any (--measure leads), in each
interval of the time zone's calendar; intervals without any are 0. --by divides them by
the value at a path of their metadata: the largest groups, and the others together.`,
		Example: `  leadevents report timeseries page_view --last 48h
  leadevents report timeseries mastery_purchase refund_requested --interval week --from 2026-01-01 --time-zone Europe/Berlin
  leadevents report timeseries page_view --interval day --last 30d --by utm.source --limit 3 --format csv`,
	}
	a = addAsking(cmd)
	a.addZone(cmd)
	a.addWhere(cmd)
	cmd.Args = a.arguments(1, report.MaxEventTypes, "one TYPE or more")
	f := cmd.Flags()
	f.StringVar(&measure, "measure", string(report.Events), "`WHAT` is counted: events or leads")
	f.StringVar(&interval, "interval", string(report.Hour), "a bar for each `INTERVAL`: minute, hour, day, week (from Monday on) or month")
	f.StringVar(&by, "by", "", "a series for each value at this `PATH` of the metadata, such as utm.source")
	f.IntVar(&limit, "limit", 5, "with --by: the largest `N` values, and the others together")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return ask(cmd, a, "timeseries", report.DecodeTimeseries, func() (report.Timeseries, error) {
			var err error
			if q.Zone, err = report.LoadZone(a.zone, "--time-zone"); err != nil {
				return q, err
			}
			if q.Range, err = a.span(q.Zone); err != nil {
				return q, err
			}
			if q.Where, err = conditionsOf(a.where); err != nil {
				return q, err
			}
			q.EventTypes, q.Measure, q.Interval = args, report.Measure(measure), report.Interval(interval)
			if by != "" {
				q.Breakdown = &report.Split{Path: by, Limit: limit}
			}
			return q, q.Validate()
		}, &timeseriesAnswer{})
	}
	return cmd
}

func newReportBreakdown() *cobra.Command {
	var q report.Breakdown
	var a *asking
	var orderBy, number string
	var quantiles []float64
	cmd := &cobra.Command{
		Use:   "breakdown TYPE PATH",
		Short: "The most frequent values at a path of the metadata, with events, leads and sums",
		Long: `Divides the events of TYPE by the value at PATH of their metadata: the largest groups,
and the others together. --number adds the sum, average, smallest, largest and quantiles
of the numbers at another path.`,
		Example: `  leadevents report breakdown page_view utm.source --last 7d
  leadevents report breakdown subscription_renewed plan --number amountUsd --quantile 0.5 --quantile 0.9 --from 2026-01-01`,
	}
	a = addAsking(cmd)
	a.addWhere(cmd)
	cmd.Args = a.arguments(2, 2, "TYPE and PATH")
	f := cmd.Flags()
	f.IntVar(&q.Limit, "limit", report.DefaultGroups, "the largest `N` values, and the others together")
	f.StringVar(&orderBy, "order-by", string(report.Events), "by `WHAT` values are large: events or leads")
	f.StringVar(&number, "number", "", "statistics of the numbers at this `PATH`")
	f.Float64SliceVar(&quantiles, "quantile", nil, "with --number: the quantile `Q`, 0 to 1; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return ask(cmd, a, "breakdown", report.DecodeBreakdown, func() (report.Breakdown, error) {
			var err error
			if q.Range, err = a.span(report.UTC); err != nil {
				return q, err
			}
			if q.Where, err = conditionsOf(a.where); err != nil {
				return q, err
			}
			q.EventType, q.Path, q.OrderBy = args[0], args[1], report.Measure(orderBy)
			if number != "" {
				q.Number = &report.Number{Path: number, Quantiles: quantiles}
			}
			return q, q.Validate()
		}, &breakdownAnswer{})
	}
	return cmd
}

func newReportFunnel() *cobra.Command {
	var q report.Funnel
	var a *asking
	var within, by string
	var limit int
	cmd := &cobra.Command{
		Use:   "funnel TYPE TYPE…",
		Short: "How many leads get how far on a way of 2 to 10 steps, and how fast",
		Long: `Counts the leads that have an event of the first TYPE in the range, how many of them then
have one of the next, and so on, within a time from the first to the last step. --by
divides them by the metadata of the event that they start with. Conditions on a step go
into a file (--file).`,
		Example: `  leadevents report funnel webinar_registered webinar_attended mastery_purchase --within 7d --last 30d
  leadevents report funnel page_view webinar_registered --within 24h --by utm.source --from 2026-05-01 --to 2026-06-01`,
	}
	a = addAsking(cmd)
	cmd.Args = a.arguments(report.MinSteps, report.MaxSteps, "2 to 10 TYPEs")
	f := cmd.Flags()
	f.StringVar(&within, "within", "7d", "the longest `DURATION` from the first step to the last one, such as 60m, 24h or 7d")
	f.StringVar(&by, "by", "", "a funnel for each value at this `PATH` of the first step's metadata")
	f.IntVar(&limit, "limit", 5, "with --by: the largest `N` values, and the others together")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		minutes, ok := minutesOf(within)
		if !ok {
			return usagef(cmd, "--within is %q: it must be a time such as 60m, 24h or 7d", within)
		}
		return ask(cmd, a, "funnel", report.DecodeFunnel, func() (report.Funnel, error) {
			var err error
			if q.Range, err = a.span(report.UTC); err != nil {
				return q, err
			}
			for _, eventType := range args {
				q.Steps = append(q.Steps, report.Selection{EventType: eventType})
			}
			q.Minutes = minutes
			if by != "" {
				q.Breakdown = &report.Split{Path: by, Limit: limit}
			}
			return q, q.Validate()
		}, &funnelAnswer{})
	}
	return cmd
}

func newReportRetention() *cobra.Command {
	var q report.Retention
	var a *asking
	var period string
	cmd := &cobra.Command{
		Use:   "retention FIRST RETURNING",
		Short: "Of the leads whose first event lies in a day, week or month: how many come back when",
		Long: `Puts each lead into the cohort of the day, week or month of its very first event of the
type FIRST, and counts in how many of the periods from then on it has an event of the
type RETURNING (which may be FIRST again). Conditions go into a file (--file).`,
		Example: `  leadevents report retention webinar_registered page_view --period week --last 70d
  leadevents report retention mastery_purchase mastery_purchase --period month --from 2026-01-01`,
	}
	a = addAsking(cmd)
	a.addZone(cmd)
	cmd.Args = a.arguments(2, 2, "FIRST and RETURNING")
	cmd.Flags().StringVar(&period, "period", string(report.Week), "the cohorts' `PERIOD`: day, week (from Monday on) or month")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return ask(cmd, a, "retention", report.DecodeRetention, func() (report.Retention, error) {
			var err error
			if q.Zone, err = report.LoadZone(a.zone, "--time-zone"); err != nil {
				return q, err
			}
			if q.Range, err = a.span(q.Zone); err != nil {
				return q, err
			}
			q.First, q.Returning, q.Period = report.Selection{EventType: args[0]}, report.Selection{EventType: args[1]}, report.Interval(period)
			return q, q.Validate()
		}, &retentionAnswer{})
	}
	return cmd
}
