package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"

	"leadevents/internal/loadgen"
)

// bareEvents is how ClickHouse gets events as lines of JSON: what it is told of a line,
// and how that becomes a row.
type bareEvents struct {
	line              func(b []byte, e *loadgen.Event) []byte
	columns           string // of a line, with their types
	phone, occurredAt string // of a row
	timeFormat        string // ClickHouse's setting date_time_input_format
}

// preparedEvents are as ClickHouse likes them best: phones as numbers, times as it writes
// them itself.
var preparedEvents = bareEvents{
	line: func(b []byte, e *loadgen.Event) []byte {
		b = fmt.Appendf(b, `{"phone":%d,"occurred_at":"`, uint64(e.Phone))
		b = e.OccurredAt.Time().AppendFormat(b, "2006-01-02 15:04:05.000")
		b = append(b, `","metadata":`...)
		return append(append(b, e.Metadata...), '}')
	},
	columns: "phone UInt64, occurred_at DateTime64(3, ''UTC''), metadata String",
	phone:   "phone", occurredAt: "occurred_at", timeFormat: "basic",
}

// sentEvents are as clients send them to us.
var sentEvents = bareEvents{
	line:    func(b []byte, e *loadgen.Event) []byte { return e.AppendJSON(b) },
	columns: "phoneE164 String, occurredAt DateTime64(3, ''UTC''), metadata String",
	phone:   "toUInt64(substring(phoneE164, 2))", occurredAt: "occurredAt", timeFormat: "best_effort",
}

// enterBare has ClickHouse parse and store the same events by itself, in a database
// with the same tables and view. What all rows have in common stands in the statement.
func (w *speedWorld) enterBare(database string, events bareEvents) func(context.Context) (func(int) (trial, error), error) {
	return func(ctx context.Context) (func(int) (trial, error), error) {
		if err := w.fresh(ctx, database); err != nil {
			return nil, err
		}
		client := &http.Client{Transport: &http.Transport{}}
		w.onLeave(func() error { client.CloseIdleConnections(); return nil })
		to := httpOf(w.stand.engine.Endpoint(), database)
		var stored uint64
		return func(round int) (trial, error) {
			batch := uint64(liveCalls + round)
			var (
				body []byte
				e    loadgen.Event
			)
			for i := range uint64(callRows) {
				w.live.Event(batch*callRows+i, &e)
				body = append(events.line(body, &e), '\n')
			}
			sql := fmt.Sprintf(`INSERT INTO lead_events (%s)
				SELECT %d, '%s', %s, %s, if(metadata = '', '{}', metadata), fromUnixTimestamp64Milli(%d, 'UTC'), %d FROM input('%s') FORMAT JSONEachRow`,
				loadgen.Columns, speedOrg, e.EventType, events.phone, events.occurredAt, e.Arrived, uint64(e.Batch), events.columns)
			run := func(ctx context.Context) error { return insertOverHTTP(ctx, client, to, sql, events.timeFormat, body) }
			check := func() error {
				stored += callRows
				var rows uint64
				err := w.conn.QueryRow(ctx, "SELECT count() FROM "+database+".lead_events").Scan(&rows)
				// Merges may have dropped one of two rows with one key.
				if err == nil && (rows > stored || rows < stored-stored/1000) {
					err = fmt.Errorf("ClickHouse has %d rows, not %d", rows, stored)
				}
				return err
			}
			return trial{run, check}, nil
		}, nil
	}
}

// insertOverHTTP is one insert over ClickHouse's HTTP, not compressed, as our calls are not.
func insertOverHTTP(ctx context.Context, client *http.Client, to url.URL, sql, timeFormat string, body []byte) error {
	q := to.Query()
	q.Set("query", sql)
	q.Set("async_insert", "0")
	q.Set("date_time_input_format", timeFormat)
	to.RawQuery = q.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	return exchange(client, request, "insert over ClickHouse's HTTP", drained)
}
