package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/ingest/backfill"
)

// report prints what a dry run has found.
func (b *backfilling) report(cmd *cobra.Command, r backfill.Report) error {
	if b.json {
		return b.reportJSON(cmd, r)
	}
	out := cmd.OutOrStdout()
	var text strings.Builder
	fmt.Fprintf(&text, "%s rows: %s would be inserted, %s are duplicates, %s would be rejected. Nothing was stored.\n",
		thousands(r.Counts.Rows), thousands(r.Counts.Inserted), thousands(r.Counts.Duplicates), thousands(r.Counts.Rejected))
	if r.Counts.Batches > 1 && r.Counts.Inserted > 0 {
		text.WriteString("Events that stand in the file twice, in different calls, are counted as new both times.\n")
	}
	if len(r.Reasons) > 0 {
		text.WriteString("\nRejected:\n")
		for _, reason := range r.Reasons {
			fmt.Fprintf(&text, "  %s: %s (%s)\n", thousands(reason.Rows), printable(reason.Reason), b.places(reason))
			for _, hint := range reason.Hints {
				fmt.Fprintf(&text, "    → %s\n", printable(hint))
			}
		}
		if r.Unnamed > 0 {
			fmt.Fprintf(&text, "  %s more, that were not looked at one by one\n", thousands(r.Unnamed))
		}
	}
	if _, err := fmt.Fprint(out, text.String()); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if len(r.Types) == 0 {
		return nil
	}
	rows := make([][]string, len(r.Types))
	for i, t := range r.Types {
		rows[i] = []string{t.EventType, strconv.FormatUint(t.Rows, 10), seconds(t.First.String()), seconds(t.Last.String())}
	}
	if r.MoreRows > 0 {
		rows = append(rows, []string{"(others)", strconv.FormatUint(r.MoreRows, 10), "-", "-"})
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return printTable(out, "eventType rows first last", rows, "eventType")
}

// places are the first lines of a reason.
func (b *backfilling) places(r backfill.ReasonReport) string {
	var texts []string
	for _, at := range r.Lines {
		text := strconv.FormatUint(at.Line, 10)
		if len(b.config.Files) > 1 {
			text = printable(at.File) + ":" + text
		}
		texts = append(texts, text)
	}
	more := ""
	if uint64(len(r.Lines)) < r.Rows {
		more = ", …"
	}
	word := "lines "
	if len(texts) == 1 {
		word = "line "
	}
	return word + strings.Join(texts, ", ") + more
}

// reasonJSON and typeJSON are of the one object that a dry run prints with --json.
type reasonJSON struct {
	Reason string           `json:"reason"`
	Rows   uint64           `json:"rows"`
	First  []backfill.Place `json:"first"`
	Hints  []string         `json:"hints,omitempty"`
}

type typeJSON struct {
	EventType string `json:"eventType"`
	Rows      uint64 `json:"rows"`
	FirstAt   string `json:"firstAt"`
	LastAt    string `json:"lastAt"`
}

func (b *backfilling) reportJSON(cmd *cobra.Command, r backfill.Report) error {
	answer := struct {
		State string `json:"state"`
		backfill.Counts
		EventTypes []typeJSON   `json:"eventTypes"`
		Reasons    []reasonJSON `json:"reasons"`
		Unnamed    uint64       `json:"rejectedWithoutReason,omitempty"`
	}{State: "dry run", Counts: r.Counts, Unnamed: r.Unnamed, EventTypes: []typeJSON{}, Reasons: []reasonJSON{}}
	for _, t := range r.Types {
		answer.EventTypes = append(answer.EventTypes, typeJSON{t.EventType, t.Rows, t.First.Time().Format(leadevents.TimeFormat), t.Last.Time().Format(leadevents.TimeFormat)})
	}
	for _, reason := range r.Reasons {
		answer.Reasons = append(answer.Reasons, reasonJSON{reason.Reason, reason.Rows, reason.Lines, reason.Hints})
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetEscapeHTML(false)
	if err := e.Encode(answer); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}
