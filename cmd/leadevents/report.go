package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/query/report"
)

// reportAnswerLimit bounds a report's answer: report.MaxNumbers of 20 digits, and as much
// again.
const reportAnswerLimit = 16 << 20

// asking is what all reports' command lines have.
type asking struct {
	server      *serverFlags
	file        string
	from, to    string
	last        string
	zone        string
	where       []string
	approximate bool
	format      string
}

func newReport() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "report",
		Short:   "Count events and leads: over time, by metadata, along a funnel, by cohorts",
		GroupID: "work",
		Long: `Asks a running server for a report over the organization's events, each counted once
however often it was sent, and draws it.

Ranges are half-open: from --from on, before --to; or the last minutes, hours or days
(--last 30d) before now. A report that flags cannot say comes from a file with the JSON
of the HTTP API (--file). docs/reports.md has reports by example, and what each number
means.`,
		Args: subcommands,
		RunE: help,
	}
	cmd.AddCommand(newReportTimeseries(), newReportBreakdown(), newReportFunnel(), newReportRetention())
	return cmd
}

func addAsking(cmd *cobra.Command) *asking {
	a := &asking{server: addServerFlags(cmd)}
	f := cmd.Flags()
	f.StringVar(&a.file, "file", "", "a JSON `FILE` with the report, as in the HTTP API, instead of arguments and flags; - is standard input")
	f.StringVar(&a.from, "from", "", "from this `TIME` on: 2026-05-12T18:34:00Z, or a date")
	f.StringVar(&a.to, "to", "", "before this `TIME` (default: now)")
	f.StringVar(&a.last, "last", "", "instead of --from: the last `DURATION` before --to, such as 120m, 24h or 30d")
	f.BoolVar(&a.approximate, "approximate", false, "be quick, and not exact: what is stored twice may count twice, leads are estimated")
	f.StringVar(&a.format, "format", "chart", "the `FORMAT`: chart, table, csv or json")
	return a
}

func (a *asking) addZone(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.zone, "time-zone", "UTC", "the IANA time `ZONE` of intervals and dates, such as Europe/Berlin")
}

func (a *asking) addWhere(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&a.where, "where", nil, whereUsage)
}

// arguments are those of a command line without --file.
func (a *asking) arguments(least, most int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case a.file != "" && len(args) > 0:
			return usagef(cmd, "--file has the whole report: it goes without arguments, but got %q", args)
		case a.file == "" && (len(args) < least || len(args) > most):
			return usagef(cmd, "%s needs %s, or --file; got %q", cmd.CommandPath(), names, args)
		}
		return nil
	}
}

// ask makes the question, asks it and prints the answer, which it reads into answer.
func ask[Q interface{ AppendJSON([]byte) []byte }](cmd *cobra.Command, a *asking, name string, decode func([]byte) (Q, error), flags func() (Q, error), answer answered) error {
	if !slices.Contains([]string{"chart", "table", "csv", "json"}, a.format) {
		return usagef(cmd, "--format is %q: it must be chart, table, csv or json", a.format)
	}
	var question Q
	var err error
	if a.file != "" {
		var forbidden []string
		for _, name := range []string{"from", "to", "last", "where", "time-zone", "approximate"} {
			if flag := cmd.Flags().Lookup(name); flag != nil && flag.Changed {
				forbidden = append(forbidden, "--"+name)
			}
		}
		if len(forbidden) > 0 {
			return usagef(cmd, "--file has the whole report: it goes without %s", strings.Join(forbidden, ", "))
		}
		text, err := readInput(cmd, a.file)
		if err != nil {
			return usagef(cmd, "--file: %v", err)
		}
		if question, err = decode(text); err != nil {
			return usagef(cmd, "%s: %v", a.file, err)
		}
	} else if question, err = flags(); err != nil {
		return invalid(cmd, err)
	}
	c, err := a.server.open(cmd)
	if err != nil {
		return err
	}
	response, err := c.insist(cmd.Context(), http.MethodPost, "/api/v1/reports/"+name, "application/json", question.AppendJSON(nil))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, reportAnswerLimit))
	if err == nil {
		err = json.Unmarshal(text, answer)
	}
	if err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	switch a.format {
	case "json":
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
		return err
	case "chart":
		_, err = io.WriteString(cmd.OutOrStdout(), answer.chart(canvasOf(cmd.OutOrStdout())))
		return err
	}
	head, rows := answer.rows()
	if a.format == "csv" {
		return printCSV(cmd.OutOrStdout(), head, rows)
	}
	for _, row := range rows {
		for i, cell := range row {
			row[i] = cmp.Or(cell, "-")
		}
	}
	return printTable(cmd.OutOrStdout(), strings.Join(head, " "), rows, "eventType", "value")
}

func readInput(cmd *cobra.Command, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	return os.ReadFile(file)
}

// span is the range that flags name.
func (a *asking) span(zone report.Zone) (r report.Range, err error) {
	r.Approximate = a.approximate
	r.To = leadevents.MillisOf(time.Now())
	if a.to != "" {
		if r.To, err = momentOf("--to", a.to, zone); err != nil {
			return r, err
		}
	}
	from, given, err := beginningOf(a.from, a.last, r.To, zone)
	if err == nil && !given {
		err = leadevents.Errorf(leadevents.InvalidRequest, "the range is missing: give --from, or --last")
	}
	r.From = from
	return r, err
}
