package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"leadevents/query"
)

// listing is what the command line asks for.
type listing struct {
	server          *serverFlags
	types           bool
	eventTypes      []string
	phone, from, to string
	where           []string
	limit           int
	format          string

	client *client
}

const (
	formatTable = "table"
	// defaultTable is a screen or two.
	defaultTable = 100
	// tablePage is how many events of a table are asked for at once; with the largest
	// metadata that there is an answer of 9 MB.
	tablePage  = 1_000
	pageAnswer = 16 << 20
)

func newEvents() *cobra.Command {
	l := &listing{}
	cmd := &cobra.Command{
		Use:     "events",
		Short:   "Show stored events, newest first, or export all of them",
		GroupID: "work",
		Long: `Shows the newest events as a table. With --format ndjson, csv or parquet it prints
all of them that are asked for, however many, newest first: one that was broken off
says so, exits 1, and can be gone on with from where it ended, by --to.

A condition on the metadata is PATH OP VALUE, with a value in JSON or else a word, or a
JSON array of conditions as in the HTTP API; all must hold. The operators are eq, ne, gt,
gte, lt, lte, in and exists.

Exit codes: 0 done, 1 failed or broken off, 2 wrong usage.`,
		Example: `  leadevents events --types
  leadevents events --type mastery_purchase --where 'amountUsd gte 100' --from 2026-05-01T00:00:00Z
  leadevents events --phone +15551234567
  leadevents events --format parquet --from 2026-05-01T00:00:00Z --to 2026-06-01T00:00:00Z > may.parquet`,
		Args: noArgs,
	}
	l.server = addServerFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&l.types, "types", false, "show the event types instead, with how many events and leads each has (table or ndjson)")
	flags.StringArrayVar(&l.eventTypes, "type", nil, "only events of this `TYPE`; may be repeated")
	flags.StringVar(&l.phone, "phone", "", "only those of the lead with this `PHONE`")
	flags.StringVar(&l.from, "from", "", "from this `TIME` on, such as 2026-05-01T00:00:00Z")
	flags.StringVar(&l.to, "to", "", "before this `TIME`")
	flags.StringArrayVar(&l.where, "where", nil, "only those whose metadata meets the `CONDITION`; may be repeated")
	flags.IntVar(&l.limit, "limit", defaultTable, fmt.Sprintf("at most so many events in the table, 1 to %d", query.MaxEventsPage))
	flags.StringVar(&l.format, "format", formatTable, "table, "+strings.Join(query.EventFormats(), ", "))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return invalid(cmd, l.run(cmd)) }
	return cmd
}

// check finds what is wrong with the command line before the server is asked, and gives
// the parameters of the question.
func (l *listing) check(cmd *cobra.Command) (url.Values, error) {
	for _, name := range []string{"phone", "from", "to", "format"} { // of a script's variable that is not set
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			return nil, usagef(cmd, "--%s is empty: give it a value, or leave it out", name)
		}
	}
	if l.format != formatTable && !slices.Contains(query.EventFormats(), l.format) {
		return nil, usagef(cmd, "--format is %q: it must be table, %s", l.format, strings.Join(query.EventFormats(), ", "))
	}
	if l.limit < 1 || l.limit > query.MaxEventsPage {
		return nil, usagef(cmd, "--limit must be 1 to %d", query.MaxEventsPage)
	}
	if l.format != formatTable && cmd.Flags().Changed("limit") {
		return nil, usagef(cmd, "--limit is for the table: an export has all events, which --from and --to divide")
	}
	if l.types {
		for _, name := range []string{"type", "phone", "from", "to", "where", "limit"} {
			if cmd.Flags().Changed(name) {
				return nil, usagef(cmd, "--types shows all types: --%s cannot be given with it", name)
			}
		}
		if l.format != formatTable && l.format != "ndjson" {
			return nil, usagef(cmd, "--types is shown as table or ndjson")
		}
		return nil, nil
	}
	where, err := l.conditions()
	if err != nil {
		return nil, usagef(cmd, "%v", err)
	}
	if _, err := query.ParseEventQuery(query.EventParameters{EventTypes: l.eventTypes, Phone: l.phone, From: l.from, To: l.to, Where: where}); err != nil {
		return nil, err
	}
	parameters := url.Values{"eventType": l.eventTypes}
	for name, value := range map[string]string{"phone": l.phone, "from": l.from, "to": l.to, "where": where} {
		if value != "" {
			parameters.Set(name, value)
		}
	}
	return parameters, nil
}

// conditions is --where as the API has it; "" for none.
func (l *listing) conditions() (string, error) {
	var all []json.RawMessage
	for _, text := range l.where {
		if strings.HasPrefix(strings.TrimSpace(text), "[") {
			var several []json.RawMessage
			if err := json.Unmarshal([]byte(text), &several); err != nil {
				return "", fmt.Errorf("--where %s: %w", text, err)
			}
			all = append(all, several...)
			continue
		}
		path, rest := word(text)
		op, value := word(rest)
		if value == "" {
			return "", fmt.Errorf("--where %q: it must be PATH OP VALUE, as in 'amountUsd gte 100'", text)
		}
		if !json.Valid([]byte(value)) {
			quoted, err := json.Marshal(value)
			if err != nil {
				return "", fmt.Errorf("--where %s: %w", text, err)
			}
			value = string(quoted)
		}
		condition, err := json.Marshal(map[string]any{"path": path, "op": op, "value": json.RawMessage(value)})
		if err != nil {
			return "", fmt.Errorf("--where %s: %w", text, err)
		}
		all = append(all, condition)
	}
	if len(all) == 0 {
		return "", nil
	}
	text, err := json.Marshal(all)
	return string(text), err
}

// word is the first word of a text, and what follows it.
func word(text string) (first, rest string) {
	text = strings.TrimSpace(text)
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		return text[:i], strings.TrimSpace(text[i:])
	}
	return text, ""
}

func (l *listing) run(cmd *cobra.Command) error {
	parameters, err := l.check(cmd)
	if err != nil {
		return err
	}
	if l.client, err = l.server.open(cmd); err != nil {
		return err
	}
	switch {
	case l.types:
		return l.catalog(cmd)
	case l.format != formatTable:
		return l.export(cmd, parameters)
	}
	events, more, err := l.page(cmd, parameters)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		explain(cmd, "There are no such events.")
		return nil
	}
	if more {
		explain(cmd, "There are more: --limit, up to %d, --to %s, or --format for all", query.MaxEventsPage, events[len(events)-1].OccurredAt)
	}
	return printEvents(cmd.OutOrStdout(), columnsOf(cmd.OutOrStdout()), events)
}

// listedEvent is an event as the server shows it.
type listedEvent struct {
	PhoneE164, EventType, OccurredAt string
	Metadata                         json.RawMessage
}

// page reads as many events as the table has. The server may give fewer at a time.
func (l *listing) page(cmd *cobra.Command, parameters url.Values) (events []listedEvent, more bool, err error) {
	for {
		parameters.Set("limit", strconv.Itoa(min(l.limit-len(events), tablePage)))
		response, err := l.client.insist(cmd.Context(), http.MethodGet, "/api/v1/events?"+parameters.Encode(), "", nil)
		if err != nil {
			return nil, false, err
		}
		var answer struct {
			Events     []listedEvent
			NextCursor *string
		}
		err = json.NewDecoder(io.LimitReader(response.Body, pageAnswer)).Decode(&answer)
		_ = response.Body.Close()
		if err != nil {
			return nil, false, fmt.Errorf("read the server's answer: %w", err)
		}
		events = append(events, answer.Events...)
		if answer.NextCursor == nil || len(events) >= l.limit {
			return events, answer.NextCursor != nil, nil
		}
		parameters.Set("cursor", *answer.NextCursor)
	}
}

// export copies all events. A stream that was cut off is an error, whatever its format.
func (l *listing) export(cmd *cobra.Command, parameters url.Values) error {
	parameters.Set("format", l.format)
	response, err := l.client.insist(cmd.Context(), http.MethodGet, "/api/v1/events?"+parameters.Encode(), "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	end := &lastBytes{}
	_, err = io.Copy(io.MultiWriter(cmd.OutOrStdout(), end), response.Body)
	if err == nil && l.format == "ndjson" && !bytes.HasPrefix(end.line(), []byte(`{"end":true,`)) {
		err = io.ErrUnexpectedEOF // of something between that hides where a stream was cut
	}
	if err != nil {
		return fmt.Errorf("the export was broken off, so the events are not complete (they came newest first: ask for the rest with --to, a millisecond after the last one, or for all again): %w", err)
	}
	return nil
}

// lastBytes keeps the end of what is written, for the line that ends an export.
type lastBytes struct{ tail []byte }

// Write implements io.Writer.
func (l *lastBytes) Write(p []byte) (int, error) {
	const kept = 128
	l.tail = append(l.tail, p[max(0, len(p)-kept):]...)
	l.tail = l.tail[max(0, len(l.tail)-kept):]
	return len(p), nil
}

// line is the last whole line.
func (l *lastBytes) line() []byte {
	text, ended := bytes.CutSuffix(l.tail, []byte("\n"))
	if !ended {
		return nil
	}
	return text[bytes.LastIndexByte(text, '\n')+1:]
}

// catalog prints the event types.
func (l *listing) catalog(cmd *cobra.Command) error {
	var answer struct {
		EventTypes []struct {
			EventType string `json:"eventType"`
			Events    uint64 `json:"events"`
			Leads     uint64 `json:"leads"`
			FirstAt   string `json:"firstAt"`
			LastAt    string `json:"lastAt"`
		} `json:"eventTypes"`
	}
	if err := l.client.call(cmd.Context(), http.MethodGet, "/api/v1/event-types", nil, &answer); err != nil {
		return err
	}
	if l.format == "ndjson" {
		lines := json.NewEncoder(cmd.OutOrStdout())
		lines.SetEscapeHTML(false)
		for _, t := range answer.EventTypes {
			if err := lines.Encode(t); err != nil {
				return fmt.Errorf("print the types: %w", err)
			}
		}
		return nil
	}
	if len(answer.EventTypes) == 0 {
		explain(cmd, "There are no events.")
		return nil
	}
	rows := make([][]string, len(answer.EventTypes))
	for i, t := range answer.EventTypes {
		rows[i] = []string{printable(t.EventType), strconv.FormatUint(t.Events, 10), strconv.FormatUint(t.Leads, 10), t.FirstAt, t.LastAt}
	}
	return printTable(cmd.OutOrStdout(), "eventType events leads firstAt lastAt", rows)
}
