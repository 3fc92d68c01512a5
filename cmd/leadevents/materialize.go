package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/query/audience"
)

// materialization is what the command line asks for.
type materialization struct {
	server      *serverFlags
	audienceID  string
	eventType   string
	allLeads    bool
	filters     []audience.Filter
	filtersFile string
	fireAt      string
	sendID      string
	campaignID  string
	format      string

	client *client
}

func newMaterialize() *cobra.Command {
	m := &materialization{}
	cmd := &cobra.Command{
		Use:     "materialize",
		Short:   "Keep the leads of a list that filters keep, and print them",
		GroupID: "work",
		Long: `Reads leads on standard input, one phone a line, CSV with a header (phoneE164 or
phone, and externalId if there are any) or NDJSON, and prints those that all filters
keep, in the order of their phones. The leads may also be an audience that was uploaded
(--audience), all that ever had an event (--event-type), or all (--all-leads).

It makes a send and materializes it, so the result stays on the server under its id:
who was kept and why can be asked for later. Leads from standard input are uploaded as an
audience, which is deleted when the send is through. A send that was begun goes on after
Ctrl-C; then the audience stays, and how to delete it is printed. Progress and counts go
to standard error.

A filter is a flag, TYPE or TYPE:TIME with a time in m, h or d, or an element of a JSON
array in a file, as in the HTTP API; docs/filters.md has examples. A type with a colon in
it goes into a file. The file's come first, then the flags in their order.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some rows of the input were
rejected.`,
		Example: `  leadevents materialize --exclude mastery_purchase < phones.txt > keep.csv
  leadevents materialize --audience customers --include webinar_attended:120m --fire-at 2026-05-12T19:00:00Z
  leadevents materialize --all-leads --filters filters.json --format ndjson`,
		Args: noArgs,
	}
	m.server = addServerFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&m.audienceID, "audience", "", "start from the uploaded audience `ID`")
	flags.StringVar(&m.eventType, "event-type", "", "start from all leads that ever had an event of `TYPE`")
	flags.BoolVar(&m.allLeads, "all-leads", false, "start from all leads")
	flags.Var(&filterFlag{m, audience.Include}, "include", "keep only leads that have an event of `TYPE[:TIME]`; may be repeated")
	flags.Var(&filterFlag{m, audience.Exclude}, "exclude", "drop leads that have an event of `TYPE[:TIME]`; may be repeated")
	flags.StringVar(&m.filtersFile, "filters", "", "a JSON `FILE` with an array of filters")
	flags.StringVar(&m.fireAt, "fire-at", "", "the `TIME` when the send fires, such as 2026-05-12T19:00:00Z (default: now)")
	flags.StringVar(&m.sendID, "send-id", "", "the send's `ID` (default: made)")
	flags.StringVar(&m.campaignID, "campaign-id", "", "the `ID` of the campaign that the send belongs to")
	flags.StringVar(&m.format, "format", "csv", "the `FORMAT`: csv, ndjson or parquet")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return invalid(cmd, m.run(cmd)) }
	return cmd
}

// filterFlag adds a filter for each time it is given.
type filterFlag struct {
	to   *materialization
	mode audience.Mode
}

// String implements pflag.Value.
func (f *filterFlag) String() string { return "" }

// Type implements pflag.Value.
func (f *filterFlag) Type() string { return "filter" }

// Set implements pflag.Value.
func (f *filterFlag) Set(text string) error {
	filter := audience.Filter{Mode: f.mode, EventType: text, MinCount: 1}
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		minutes, ok := minutesOf(text[i+1:])
		if !ok {
			// Taken for a part of the type, which then nobody has, it would make
			// --exclude keep everybody.
			return fmt.Errorf("behind the last colon of %q a time is expected, such as 120m, 2h or 7d; an event type with a colon in it is written in a file for --filters", text)
		}
		filter.EventType, filter.Within = text[:i], &minutes
	}
	if err := filter.Validate("the filter"); err != nil {
		return err
	}
	f.to.filters = append(f.to.filters, filter)
	return nil
}

// minutesOf reads 120m, 2h or 7d.
func minutesOf(text string) (int, bool) {
	if text == "" {
		return 0, false
	}
	unit, known := map[byte]int{'m': 1, 'h': 60, 'd': 24 * 60}[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 31)
	if !known || err != nil {
		return 0, false
	}
	return int(n) * unit, true
}

// check finds what is wrong with the command line before anything is asked of the
// server.
func (m *materialization) check(cmd *cobra.Command) error {
	// Of a script's variable that is not set. Without --audience the leads would be
	// those of standard input, and without --filters nobody would be dropped.
	for _, name := range []string{"audience", "event-type", "filters", "fire-at", "send-id", "campaign-id"} {
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			return usagef(cmd, "--%s is empty: give it a value, or leave it out", name)
		}
	}
	sources := 0
	for _, given := range []bool{m.audienceID != "", m.eventType != "", m.allLeads} {
		if given {
			sources++
		}
	}
	if sources > 1 {
		return usagef(cmd, "--audience, --event-type and --all-leads name the leads: one of them, or none for those on standard input")
	}
	if !slices.Contains([]string{"csv", "ndjson", "parquet"}, m.format) {
		return usagef(cmd, "--format is %q: it must be csv, ndjson or parquet", m.format)
	}
	if m.filtersFile != "" {
		text, err := os.ReadFile(m.filtersFile)
		if err != nil {
			return usagef(cmd, "--filters: %v", err)
		}
		filters, err := audience.DecodeFilters(text, m.filtersFile)
		if err != nil {
			return err
		}
		m.filters = append(filters, m.filters...)
	}
	if m.sendID == "" {
		m.sendID = fmt.Sprintf("cli-%s-%s", time.Now().UTC().Format("20060102-150405"), strconv.FormatUint(leadevents.NewID()%(1<<30), 36))
	}
	if err := audience.ValidateID(m.sendID, "--send-id"); err != nil {
		return err
	}
	return audience.ValidateFilters(m.filters, "the filters")
}

func (m *materialization) run(cmd *cobra.Command) (err error) {
	if err := m.check(cmd); err != nil {
		return err
	}
	if m.client, err = m.server.open(cmd); err != nil {
		return err
	}
	ctx := cmd.Context()
	reference, rejected := map[string]any{}, int64(0)
	goesOn := false // the send, on the server, and needs its audience
	switch {
	case m.audienceID != "":
		reference["audienceId"] = m.audienceID
	case m.eventType != "":
		reference["eventType"] = m.eventType
	case m.allLeads:
		reference["allLeads"] = true
	default:
		id := "materialize-" + strconv.FormatUint(leadevents.NewID(), 36)
		reference["audienceId"] = id
		// Also after Ctrl-C, and when the upload's answer did not arrive.
		defer func() {
			if goesOn {
				explain(cmd, "The send needs the uploaded audience; once it is through, DELETE /api/v1/audiences/%s removes that.", id)
				return
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			if gone := m.client.call(ctx, http.MethodDelete, "/api/v1/audiences/"+id, nil, nil); gone != nil && leadevents.KindOf(gone) != leadevents.NotFound {
				explain(cmd, "The uploaded audience %s could not be deleted: %v", id, gone)
			}
		}()
		if rejected, err = m.upload(cmd, id); err != nil {
			return err
		}
	}
	send := map[string]any{"audience": reference, "eventFilters": m.filters}
	if m.filters == nil {
		send["eventFilters"] = []audience.Filter{}
	}
	if m.fireAt != "" {
		send["fireAt"] = m.fireAt
	}
	if m.campaignID != "" {
		send["campaignId"] = m.campaignID
	}
	path := "/api/v1/sends/" + url.PathEscape(m.sendID)
	if err := m.client.call(ctx, http.MethodPut, path, send, nil); err != nil {
		return err
	}
	if goesOn, err = m.materialize(cmd, path); err != nil {
		return err
	}
	if err := m.print(cmd, path); err != nil {
		return err
	}
	if rejected > 0 {
		return &rejectedError{rows: rejected}
	}
	return nil
}

// upload sends standard input as an audience, as it is read.
func (m *materialization) upload(cmd *cobra.Command, id string) (rejected int64, err error) {
	explain(cmd, "Reading leads from standard input.")
	body, mediaType, err := leadsOf(cmd.InOrStdin())
	if err != nil {
		return 0, fmt.Errorf("read standard input: %w", err)
	}
	response, err := m.client.send(cmd.Context(), http.MethodPut, "/api/v1/audiences/"+id+"/leads", mediaType, body)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Received, Stored, Duplicates, Rejected int64
		Rejects                                []leadevents.ShownReject
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, answerLimit)).Decode(&answer); err != nil {
		return 0, fmt.Errorf("read the answer to the upload: %w", err)
	}
	explain(cmd, "%d rows read: %d leads, %d duplicates, %d rejected", answer.Received, answer.Stored, answer.Duplicates, answer.Rejected)
	for _, r := range answer.Rejects {
		explain(cmd, "row %d: %s", r.Index+1, r.Reason)
	}
	return answer.Rejected, nil
}

// leadsOf tells what the input is by its first line: NDJSON begins with a brace, CSV
// has a column of phones, and everything else is a phone a line.
func leadsOf(in io.Reader) (body io.Reader, mediaType string, err error) {
	r := bufio.NewReaderSize(in, 64<<10)
	const mark = "\uFEFF" // of a spreadsheet's export; whatever follows, it is no part of it
	if start, _ := r.Peek(len(mark)); string(start) == mark {
		_, _ = r.Discard(len(mark)) // they are there
	}
	start, err := r.Peek(4 << 10)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, "", err
	}
	first, _, _ := bytes.Cut(bytes.TrimLeft(start, " \t\r\n"), []byte("\n"))
	if len(first) > 0 && first[0] == '{' {
		return r, "application/x-ndjson", nil
	}
	for column := range strings.SplitSeq(strings.ToLower(string(first)), ",") {
		if column = strings.Trim(column, "\" \t\r"); column == "phone" || column == "phonee164" {
			return r, "text/csv", nil
		}
	}
	return io.MultiReader(strings.NewReader("phoneE164\n"), &phoneLines{r: r}), "text/csv", nil
}

// phoneLines makes each line a field of CSV.
type phoneLines struct {
	r    *bufio.Reader
	rest []byte
}

// Read implements io.Reader.
func (p *phoneLines) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		line, err := p.r.ReadSlice('\n')
		if text := bytes.TrimSpace(line); len(text) > 0 {
			p.rest = append(append(append(p.rest, '"'), bytes.ReplaceAll(text, []byte(`"`), []byte(`""`))...), "\"\n"...)
		}
		if len(p.rest) == 0 && err != nil {
			return 0, err
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return 0, errors.New("a line is longer than 64 KiB")
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[:copy(p.rest, p.rest[n:])]
	return n, nil
}

// sendAnswer is what the command reads of a send.
type sendAnswer struct {
	Status, Error, AsOf, FireAt string
	Total, Kept                 uint64
	Dropped                     struct {
		AudienceFilter uint64
		EventFilters   []uint64
	}
	Progress struct{ Done, Of int }
}

// materialize begins it, and tells of its progress until it is through. After an
// error goesOn says whether it is, as far as is known, still under way.
func (m *materialization) materialize(cmd *cobra.Command, path string) (goesOn bool, err error) {
	ctx := cmd.Context()
	var send sendAnswer
	if err := m.client.call(ctx, http.MethodPost, path+"/materialize", nil, &send); err != nil {
		switch leadevents.KindOf(err) {
		case leadevents.Unavailable, leadevents.Internal: // or there was no answer
			return true, fmt.Errorf("send %s may go on on the server: %w", m.sendID, err)
		default:
			return false, err
		}
	}
	shown := ""
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		send = sendAnswer{}
		if err := m.client.call(ctx, http.MethodGet, path, nil, &send); err != nil {
			return true, fmt.Errorf("send %s goes on on the server: %w", m.sendID, err)
		}
		switch send.Status {
		case "materialized":
			explain(cmd, "Send %s, as of %s: %d leads, %d kept", m.sendID, send.AsOf, send.Total, send.Kept)
			if send.Dropped.AudienceFilter > 0 {
				explain(cmd, "%d dropped by the list filter", send.Dropped.AudienceFilter)
			}
			for i, n := range send.Dropped.EventFilters {
				explain(cmd, "%d dropped by %s", n, m.filters[i].AppendJSON(nil))
			}
			return false, nil
		case "failed":
			return false, fmt.Errorf("send %s has failed: %s", m.sendID, send.Error)
		}
		if p := send.Progress; p.Of > 0 {
			if text := fmt.Sprintf("materializing: part %d of %d", p.Done, p.Of); text != shown {
				explain(cmd, "%s", text)
				shown = text
			}
		}
		select {
		case <-ctx.Done():
			return true, fmt.Errorf("send %s goes on on the server: %w", m.sendID, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// print copies the result. A stream that was cut off is an error, whatever its
// format.
func (m *materialization) print(cmd *cobra.Command, path string) error {
	response, err := m.client.insist(cmd.Context(), http.MethodGet, path+"/leads?format="+m.format, "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(cmd.OutOrStdout(), response.Body); err != nil {
		return fmt.Errorf("the leads are not complete: %w", err)
	}
	return nil
}
