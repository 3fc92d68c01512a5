package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/clickhouse/embedded"
	"leadevents/internal/loadgen"
)

// eventsBench measures what analysts read of events: the catalog, pages, one lead's
// timeline and exports, through HTTP, beside what ClickHouse itself writes.
type eventsBench struct {
	report *report
	rounds int
	org    leadevents.OrgID
	conn   driver.Conn // the bare driver, in the server's database
	server *server     // with a key of org that may query
	// clickHouse is ClickHouse's own HTTP interface on the same database, with its
	// credentials: what it writes there is the floor.
	clickHouse url.URL
}

const (
	goalCatalog  = 100 * time.Millisecond
	goalTimeline = 100 * time.Millisecond
	goalExport   = 1e6 // rows a second to Parquet, or
	goalOfFloor  = 0.5 // of the rate at which ClickHouse itself writes Parquet over HTTP
)

// timelineLeads are looked up one after the other, drawn by their events: who has more is
// looked up more often.
const timelineLeads = 20

func (b eventsBench) run(ctx context.Context) error {
	phones, err := b.leads(ctx)
	if err != nil {
		return err
	}
	path := func(format string, args ...any) func(context.Context) error {
		return func(ctx context.Context) error {
			return b.server.do(ctx, http.MethodGet, fmt.Sprintf(format, args...), nil, nil, drained)
		}
	}
	began := time.Now()
	if err := path("/api/v1/event-types")(ctx); err != nil {
		return err
	}
	first := time.Since(began)
	again := contestant{name: fmt.Sprintf("catalog, after %d new events", callRows)}
	again.prepare = func(round int) (trial, error) {
		return trial{run: path("/api/v1/event-types")}, b.store(round)
	}
	contestants := []contestant{
		again,
		once("catalog, while nothing new comes", path("/api/v1/event-types")),
		once("newest 100", path("/api/v1/events")),
		once("newest 10,000", path("/api/v1/events?limit=10000")),
		once("newest 100 of a type", path("/api/v1/events?eventType=page_view")),
	}
	timelines := contestant{name: "one lead's newest 100"}
	timelines.prepare = func(round int) (trial, error) {
		return trial{run: path("/api/v1/leads/%s/events", phones[round%len(phones)])}, nil
	}
	rounds := max(b.rounds, timelineLeads)
	samples, err := compete(ctx, rounds, append(contestants, timelines), nil)
	if err != nil {
		return err
	}
	b.report.linef("\nEvents, through HTTP, ms: median (quartiles) of %d, leads drawn by their events.", rounds)
	rows := [][]string{{"catalog, the server's first", ms(first)}}
	for _, c := range append(contestants, timelines) {
		rows = append(rows, []string{c.name, samples[c.name].String()})
	}
	b.report.table([]string{"read", "ms"}, rows)
	for _, c := range contestants[:2] {
		b.report.goal(c.name, samples[c.name].median(), goalCatalog, 0)
	}
	b.report.goal("one lead's timeline", samples[timelines.name].median(), goalTimeline, 0)
	return b.exports(ctx)
}

// store sends a call of new events, which occur now.
func (b eventsBench) store(round int) error {
	g, err := loadgen.New(loadgen.Config{Seed: 7000 + uint64(round), Org: b.org, Times: loadgen.Live(leadevents.MillisOf(time.Now()))})
	if err != nil {
		return err
	}
	a, err := b.server.post(g.AppendRequest(nil, 0, callRows))
	if err == nil && a.Inserted < callRows-callRows/1000 {
		err = fmt.Errorf("%d of %d events were new", a.Inserted, callRows)
	}
	return err
}

// httpOf is ClickHouse's own HTTP interface.
func httpOf(e embedded.Endpoint, database string) url.URL {
	return url.URL{
		Scheme: "http", Host: e.HTTP, Path: "/", User: url.UserPassword(e.User, e.Password),
		RawQuery: url.Values{"database": {database}}.Encode(),
	}
}

// benchQueryEvents is the part of `query` about events themselves.
func benchQueryEvents(ctx context.Context, w *queryWorld) error {
	return eventsBench{w.report, w.rounds, queryOrg, w.conn, w.server, httpOf(w.stand.engine.Endpoint(), queryDatabase)}.run(ctx)
}

func once(name string, run func(context.Context) error) contestant {
	return contestant{name: name, prepare: func(int) (trial, error) { return trial{run: run}, nil }}
}

func drained(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// leads draws phones by their events.
func (b eventsBench) leads(ctx context.Context) ([]string, error) {
	rows, err := b.conn.Query(ctx, fmt.Sprintf("SELECT phone FROM lead_events WHERE organization_id = %d ORDER BY cityHash64(phone, occurred_at) LIMIT %d", b.org, timelineLeads))
	if err != nil {
		return nil, fmt.Errorf("draw leads: %w", err)
	}
	defer rows.Close()
	var phones []string
	for rows.Next() {
		var phone uint64
		if err := rows.Scan(&phone); err != nil {
			return nil, err
		}
		phones = append(phones, strconv.FormatUint(phone, 10))
	}
	return phones, rows.Err()
}

const parquetExport = "export, newest first, Parquet"

// exports reads everything as Parquet, once each: it takes a minute for 100 million.
func (b eventsBench) exports(ctx context.Context) error {
	var events uint64
	if err := b.conn.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM lead_events FINAL WHERE organization_id = %d", b.org)).Scan(&events); err != nil {
		return fmt.Errorf("count the events: %w", err)
	}
	shaped := "SELECT concat('+', toString(phone)) AS phoneE164, event_type AS eventType, occurred_at AS occurredAt, metadata, ingested_at AS ingestedAt, toString(batch_id) AS batchId FROM lead_events FINAL WHERE organization_id = " + b.org.String() + " FORMAT Parquet"
	bare := "SELECT * FROM lead_events WHERE organization_id = " + b.org.String() + " FORMAT Parquet"
	var rows [][]string
	var floor, parquet time.Duration
	for _, c := range []struct {
		name string
		read func(context.Context) (int64, error)
	}{
		{"ClickHouse over HTTP, raw rows in no order, Parquet", func(ctx context.Context) (int64, error) { return b.floor(ctx, bare) }},
		{"ClickHouse over HTTP, FINAL, the same columns, Parquet", func(ctx context.Context) (int64, error) { return b.floor(ctx, shaped) }},
		{parquetExport, b.export("parquet")},
		{"export, newest first, CSV", b.export("csv")},
		{"export, newest first, NDJSON", b.export("ndjson")},
	} {
		began := time.Now()
		size, err := c.read(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		took := time.Since(began)
		switch {
		case floor == 0:
			floor = took
		case c.name == parquetExport:
			parquet = took
		}
		rows = append(rows, []string{c.name, fmt.Sprintf("%.0f", took.Seconds()*1000), fmt.Sprintf("%.2f", float64(events)/took.Seconds()/1e6), ratio(floor, took), fmt.Sprintf("%.0f", float64(size)/float64(events))})
	}
	b.report.linef("\nAll %d events to nowhere, once each.", events)
	b.report.table([]string{"export", "ms", "million events a second", "of ClickHouse's rate", "bytes an event"}, rows)
	rate, share := float64(events)/parquet.Seconds(), floor.Seconds()/parquet.Seconds()
	b.report.linef("Goal: Parquet at %.0f million events a second, or at %.1f × ClickHouse's own rate, %s: %.2f million, %.2f ×.",
		goalExport/1e6, goalOfFloor, verdict(rate >= goalExport || share >= goalOfFloor), rate/1e6, share)
	return nil
}

func (b eventsBench) export(format string) func(context.Context) (int64, error) {
	return func(ctx context.Context) (size int64, err error) {
		err = b.server.do(ctx, http.MethodGet, "/api/v1/events?format="+format, nil, nil, func(r io.Reader) error {
			size, err = io.Copy(io.Discard, r)
			return err
		})
		return size, err
	}
}

// floor reads what ClickHouse writes.
func (b eventsBench) floor(ctx context.Context, sql string) (size int64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.clickHouse.String(), bytes.NewReader([]byte(sql)))
	if err != nil {
		return 0, err
	}
	err = exchange(http.DefaultClient, request, "ask ClickHouse over HTTP", func(body io.Reader) error {
		size, err = io.Copy(io.Discard, body)
		return err
	})
	return size, err
}
