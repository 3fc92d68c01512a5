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
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/query"
	"leadevents/query/audience"
	"leadevents/query/report"
)

// listing is what the command line asks for.
type listing struct {
	server          *serverFlags
	types           bool
	eventTypes      []string
	phone, from, to string
	last            string
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

Times are half-open: --from is in, --to is not. A condition on the metadata is PATH
OP VALUE, the value in JSON or else a word ('plan.name eq gold'), or a JSON array of
conditions as in the HTTP API; all must hold. Begin with --types: it shows which
event types there are. docs/events.md has more by example.

Exit codes: 0 done, 1 failed or broken off, 2 wrong usage.`,
		Example: `  leadevents events --types
  leadevents events --type mastery_purchase --where 'amountUsd gte 100' --last 7d
  leadevents events --phone +15551234567
  leadevents events --format parquet --from 2026-05-01 --to 2026-06-01 > may.parquet`,
		Args: noArgs,
	}
	l.server = addServerFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&l.types, "types", false, "show the event types instead, with how many events and leads each has (table or ndjson)")
	flags.StringArrayVar(&l.eventTypes, "type", nil, "only events of this `TYPE`; may be repeated")
	flags.StringVar(&l.phone, "phone", "", "only those of the lead with this `PHONE`")
	flags.StringVar(&l.from, "from", "", "from this `TIME` on: 2026-05-12T18:34:00Z, or a date (UTC)")
	flags.StringVar(&l.to, "to", "", "before this `TIME`")
	flags.StringVar(&l.last, "last", "", "instead of --from: the last `DURATION` before --to or now, such as 120m, 24h or 30d")
	flags.StringArrayVar(&l.where, "where", nil, whereUsage)
	flags.IntVar(&l.limit, "limit", defaultTable, fmt.Sprintf("at most `N` events in the table, 1 to %d", query.MaxEventsPage))
	flags.StringVar(&l.format, "format", formatTable, "the `FORMAT`: table, or all events as "+strings.Join(query.EventFormats(), ", "))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return invalid(cmd, l.run(cmd)) }
	return cmd
}

// check finds what is wrong with the command line before the server is asked, and gives
// the parameters of the question.
func (l *listing) check(cmd *cobra.Command) (url.Values, error) {
	for _, name := range []string{"phone", "from", "to", "last", "format"} { // of a script's variable that is not set
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
		for _, name := range []string{"type", "phone", "from", "to", "last", "where", "limit"} {
			if cmd.Flags().Changed(name) {
				return nil, usagef(cmd, "--types shows all types: --%s cannot be given with it", name)
			}
		}
		if l.format != formatTable && l.format != "ndjson" {
			return nil, usagef(cmd, "--types is shown as table or ndjson")
		}
		return nil, nil
	}
	q := audience.EventQuery{EventTypes: l.eventTypes, To: audience.EveryMoment}
	if err := q.Validate("--type"); err != nil {
		return nil, err
	}
	var err error
	parameters := url.Values{"eventType": l.eventTypes}
	if l.phone != "" {
		phone, err := leadevents.ParsePhone(l.phone)
		if err != nil {
			return nil, usagef(cmd, "--phone is %q: it must be a possible phone number, such as +15551234567", l.phone)
		}
		parameters.Set("phone", phone.String())
	}
	now := leadevents.MillisOf(time.Now())
	if l.to != "" {
		if now, err = momentOf("--to", l.to, report.UTC); err != nil {
			return nil, err
		}
		parameters.Set("to", now.String())
	}
	from, given, err := beginningOf(l.from, l.last, now, report.UTC)
	if err != nil {
		return nil, err
	}
	if given {
		parameters.Set("from", from.String())
	}
	if q.Where, err = conditionsOf(l.where); err != nil {
		return nil, err
	}
	if len(q.Where) > 0 {
		parameters.Set("where", string(audience.AppendConditions(nil, q.Where)))
	}
	return parameters, nil
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
		explain(cmd, "There are no such events (--types shows which types there are).")
		return nil
	}
	if more {
		explain(cmd, "There are more. Older ones: --to %s; a longer table: --limit;\nall of them: --format csv", events[len(events)-1].OccurredAt)
	}
	return printEvents(newTable(cmd.OutOrStdout(), eventColumns, "eventType", "metadata"), events)
}

// listedEvent is an event as the server shows it.
type listedEvent struct {
	PhoneE164, EventType, OccurredAt string
	Metadata                         json.RawMessage
}

// eventColumns head the table of events.
var eventColumns = []string{"occurredAt", "eventType", "phoneE164", "metadata"}

func printEvents(t *table, events []listedEvent) error {
	for _, e := range events {
		t.add([]string{e.OccurredAt, e.EventType, e.PhoneE164, string(e.Metadata)})
	}
	return t.end()
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
		rows[i] = []string{t.EventType, strconv.FormatUint(t.Events, 10), strconv.FormatUint(t.Leads, 10), seconds(t.FirstAt), seconds(t.LastAt)}
	}
	return printTable(cmd.OutOrStdout(), "eventType events leads firstAt lastAt", rows, "eventType")
}

// seconds is a time without its milliseconds: a table of them fits 80 columns, and
// --format ndjson has all of it.
func seconds(at string) string {
	if whole, _, cut := strings.Cut(at, "."); cut {
		return whole + "Z"
	}
	return at
}
