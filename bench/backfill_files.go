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
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"

	"leadevents/internal/loadgen"
)

// ndjson writes a file of events as the API takes them, a line each.
func (w *backfillWorld) ndjson(seed, events uint64, typed bool, name string) (file historyFile, err error) {
	batchRows := uint64(callRows)
	if typed {
		batchRows = 1
	}
	g, err := w.generator(seed, batchRows)
	if err != nil {
		return file, err
	}
	f, err := os.Create(w.path(name))
	if err != nil {
		return file, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := zstd.NewWriter(f)
	if err != nil {
		return file, err
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	out := bufio.NewWriterSize(z, 1<<20)
	var e loadgen.Event
	var line []byte
	for i := range events {
		g.Event(i, &e)
		line = e.AppendJSON(line[:0])
		if typed {
			_, _ = fmt.Fprintf(out, `{"eventType":%q,`, e.EventType) // our own types: nothing to escape
			line = line[1:]
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return file, err
		}
	}
	return historyFile{path: w.path(name), format: "JSONEachRow", events: events, typed: typed}, out.Flush()
}

// parquet has ClickHouse write a file of other events.
func (w *backfillWorld) parquet(ctx context.Context, seed uint64) (file historyFile, err error) {
	g, err := w.generator(seed, callRows)
	if err != nil {
		return file, err
	}
	f, err := os.Create(w.path("one.parquet"))
	if err != nil {
		return file, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sql := "SELECT concat('+', toString(phone)) AS phoneE164, occurred_at AS occurredAt, metadata FROM (" + g.SelectSQL(0, w.events) + ") FORMAT Parquet"
	err = w.clickHouse(ctx, sql, nil, "", func(r io.Reader) error {
		_, err := io.Copy(f, r)
		return err
	})
	return historyFile{path: f.Name(), format: "Parquet", events: w.events}, err
}

// clickHouse runs a statement over ClickHouse's HTTP, in the bare database; body is the data of an
// INSERT.
func (w *backfillWorld) clickHouse(ctx context.Context, sql string, body io.Reader, encoding string, read func(io.Reader) error) error {
	to := httpOf(w.stand.engine.Endpoint(), bareDatabase)
	if body == nil {
		body = strings.NewReader(sql)
	} else {
		q := to.Query()
		q.Set("query", sql)
		q.Set("date_time_input_format", "best_effort")
		q.Set("async_insert", "0")
		to.RawQuery = q.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), body)
	if err != nil {
		return err
	}
	if encoding != "" {
		request.Header.Set("Content-Encoding", encoding)
	}
	return exchange(http.DefaultClient, request, "ask ClickHouse over HTTP", read)
}

// loadBare has ClickHouse load a file by itself, into empty tables of the same definition with
// their view, and checks the number of rows.
func (w *backfillWorld) loadBare(ctx context.Context, file historyFile) (took time.Duration, err error) {
	for _, table := range []string{"lead_events", "lead_states"} {
		if err := w.bare.Exec(ctx, "TRUNCATE TABLE "+table); err != nil {
			return 0, err
		}
	}
	f, err := os.Open(file.path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	typed, typeOf := "", fmt.Sprintf("'%s'", backfillType)
	if file.typed {
		typed, typeOf = "eventType String, ", "eventType"
	}
	encoding := ""
	if file.format == "JSONEachRow" {
		encoding = "zstd"
	}
	sql := fmt.Sprintf(`INSERT INTO lead_events (%s)
		SELECT %d, %s, toUInt64(substring(phoneE164, 2)), occurredAt, if(metadata = '', '{}', metadata), now64(3), 1
		FROM input('%sphoneE164 String, occurredAt DateTime64(3, ''UTC''), metadata String') FORMAT %s`,
		loadgen.Columns, w.server.OrganizationID, typeOf, typed, file.format)
	began := time.Now()
	if err := w.clickHouse(ctx, sql, io.NopCloser(f), encoding, drained); err != nil {
		return 0, err
	}
	took = time.Since(began)
	var rows uint64
	if err := w.bare.QueryRow(ctx, "SELECT count() FROM lead_events FINAL").Scan(&rows); err != nil {
		return 0, fmt.Errorf("count the rows: %w", err)
	}
	if rows > file.events || rows < file.events-file.events/1000 {
		return 0, fmt.Errorf("ClickHouse has %d of %d rows", rows, file.events)
	}
	return took, nil
}

// loading is what a run of the command came to.
type loading struct {
	took      time.Duration
	clientMiB float64
}

// load runs the command on a file, and checks what it says: all rows are new, or none.
func (w *backfillWorld) load(ctx context.Context, file historyFile, fresh bool) (l loading, err error) {
	args := []string{"backfill", file.path, "--url", w.server.URL, "--json", "--restart"}
	if !file.typed {
		args = append(args, "--event-type", backfillType)
	}
	cmd := exec.CommandContext(ctx, w.binary, args...)
	cmd.Env = append(os.Environ(), "LEADEVENTS_API_KEY="+w.server.APIKey)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return l, fmt.Errorf("run the command: %w\n%s", err, said.String())
	}
	l.took = time.Since(began)
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return l, errors.New("the command's memory is not known here")
	}
	l.clientMiB = float64(usage.Maxrss) / 1024
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	var total struct {
		State                                string
		Rows, Inserted, Duplicates, Rejected uint64
	}
	if err := json.Unmarshal(lines[len(lines)-1], &total); err != nil {
		return l, fmt.Errorf("read the command's totals: %w", err)
	}
	right := total.State == "done" && total.Rows == file.events && total.Rejected == 0
	if fresh { // two of the generator's events may have one key, at most one in a thousand
		right = right && total.Duplicates <= file.events/1000
	} else {
		right = right && total.Inserted == 0
	}
	if !right {
		return l, fmt.Errorf("the command says %+v of %d rows", total, file.events)
	}
	return l, nil
}
