package clickhouse

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"leadevents"
	"leadevents/clickhouse/analyst"
)

const (
	// maxTree bounds what EXPLAIN AST may print. A statement of 128 KiB that is nested
	// as deep as is allowed prints 12 MiB.
	maxTree = 16 << 20
	// heldBack is how much of an answer waits for what comes next: ClickHouse writes an
	// exception behind what it has sent, 16 KiB at most, and then breaks off.
	heldBack = 20 << 10
	// maxException is how much is read of an answer that is an error.
	maxException = 64 << 10
	// readingInterval is how often a statement that takes its time is asked how far it is.
	readingInterval = 250 * time.Millisecond
)

// explainPrefix is a line of its own, so that lines and columns of an error are nearly
// those of the statement.
const explainPrefix = "EXPLAIN AST\n"

// Explain is the tree of a statement as ClickHouse parses it. Nothing of it is
// executed, and it too is asked as the organization's own user.
func (a *Analysts) Explain(ctx context.Context, org leadevents.OrgID, text string, bound map[string]string) (string, error) {
	answer, account, err := a.ask(ctx, org, analyst.Query{ID: newQueryID(), Text: explainPrefix + text, Params: bound, Format: "TSVRaw"})
	if err != nil {
		return "", a.failure(ctx, err, account, text, len(explainPrefix))
	}
	defer func() { _ = answer.Body.Close() }()
	tree, err := io.ReadAll(io.LimitReader(answer.Body, maxTree+1))
	switch {
	case err != nil:
		return "", a.failure(ctx, a.brokenOff(answer, tree, err), account, text, len(explainPrefix))
	case len(tree) > maxTree:
		return "", leadevents.Errorf(leadevents.InvalidQuery, "query has too many parts: its tree is over %d MiB", maxTree>>20)
	}
	return string(tree), nil
}

// Run writes the statement's answer to w, as it comes. ctx bounds all of it; when it
// ends, so does the statement. An error after the first byte leaves w with a part.
func (a *Analysts) Run(ctx context.Context, org leadevents.OrgID, q analyst.Query, w io.Writer) (reading analyst.Reading, err error) {
	defer context.AfterFunc(ctx, func() { a.end(q.ID) })()
	answer, account, err := a.ask(ctx, org, q)
	if err != nil {
		return analyst.Reading{}, a.failure(ctx, err, account, q.Text, 0)
	}
	defer func() { _ = answer.Body.Close() }()
	progress := a.follow(ctx, q.ID)
	written, tail, err := copyHeldBack(w, answer.Body)
	reading = progress.stop()
	atHeader := summary(answer.Header)
	reading.Rows, reading.Bytes = max(reading.Rows, atHeader.Rows), max(reading.Bytes, atHeader.Bytes)
	if err != nil {
		reading.AtLeast = true
		if _, mine := errors.AsType[*writeError](err); !mine {
			err = a.brokenOff(answer, tail, err)
		}
		a.end(q.ID)
		return reading, a.failure(ctx, err, account, q.Text, 0)
	}
	reading.AtLeast = written >= responseBuffer // the header of a shorter answer was written at its end
	return reading, nil
}

// responseBuffer is the profile's http_response_buffer_size.
const responseBuffer = 64 << 10

// ask sends a statement; the answer has status 200. An account that is not there any
// more is made again.
func (a *Analysts) ask(ctx context.Context, org leadevents.OrgID, q analyst.Query) (*http.Response, analyst.Account, error) {
	account, err := a.account(ctx, org, false)
	if err != nil {
		return nil, account, err
	}
	answer, err := a.askAs(ctx, account, q)
	if exception, ok := errors.AsType[*analystException](err); ok && accountMissing[exception.code] {
		again, lost := a.account(ctx, org, true)
		if lost != nil {
			return nil, account, lost
		}
		account = again
		answer, err = a.askAs(ctx, account, q)
	}
	return answer, account, err
}

// accountMissing are the errors of an account that somebody has taken away.
var accountMissing = map[int]bool{codeUnknownTable: true, codeUnknownDatabase: true, codeUnknownUser: true, codeAuthenticationFails: true, codeAccessDenied: true}

func (a *Analysts) askAs(ctx context.Context, account analyst.Account, q analyst.Query) (*http.Response, error) {
	values := url.Values{"database": {account.Database}, "query_id": {q.ID}, "default_format": {q.Format}}
	for name, value := range q.Params {
		values.Set("param_"+name, value)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://clickhouse/?"+values.Encode(), strings.NewReader(q.Text))
	if err != nil {
		return nil, fmt.Errorf("build a statement's request: %w", err)
	}
	request.Header.Set("X-ClickHouse-User", account.User)
	request.Header.Set("X-ClickHouse-Key", account.Password)
	// For a kept connection that the server has closed; net/http does not send it.
	request.Header["X-Idempotency-Key"] = nil
	answer, err := a.client.Do(request)
	if err != nil {
		return nil, unavailable(fmt.Errorf("ask over HTTP: %w", withoutURL(err)))
	}
	if answer.StatusCode == http.StatusOK {
		return answer, nil
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxException))
	if err != nil {
		return nil, unavailable(fmt.Errorf("read a refusal over HTTP: %w", err))
	}
	return nil, readException(string(text), answer.Header.Get("X-ClickHouse-Exception-Code"))
}

// withoutURL takes the address, with parameters that may be phones, out of an error.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// brokenOff finds the reason in the end of an answer that was broken off.
func (a *Analysts) brokenOff(answer *http.Response, tail []byte, err error) error {
	tag := answer.Header.Get("X-ClickHouse-Exception-Tag")
	if at := bytes.LastIndex(tail, []byte("__exception__\r\n"+tag+"\r\n")); at >= 0 && tag != "" {
		return readException(string(tail[at+len("__exception__\r\n")+len(tag)+2:]), "")
	}
	return unavailable(fmt.Errorf("read an answer over HTTP: %w", err))
}

// writeError is of who reads the answer.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

// copyHeldBack copies but for the last heldBack bytes, which it writes at the clean end
// alone, and returns.
func copyHeldBack(w io.Writer, r io.Reader) (written int64, tail []byte, err error) {
	buf := make([]byte, heldBack+64<<10)
	n := 0
	for {
		got, err := r.Read(buf[n:])
		n += got
		if errors.Is(err, io.EOF) {
			if _, err := w.Write(buf[:n]); err != nil {
				return written, nil, &writeError{err}
			}
			return written + int64(n), buf[:n], nil
		}
		if err != nil {
			return written, buf[:n], err
		}
		if n < len(buf) {
			continue
		}
		out := n - heldBack
		if _, err := w.Write(buf[:out]); err != nil {
			return written, nil, &writeError{err}
		}
		written += int64(out)
		n = copy(buf, buf[out:n])
	}
}

// summary is what the answer's header says of its reading.
func summary(header http.Header) analyst.Reading {
	var told struct {
		Rows  string `json:"read_rows"`
		Bytes string `json:"read_bytes"`
	}
	if json.Unmarshal([]byte(header.Get("X-ClickHouse-Summary")), &told) != nil {
		return analyst.Reading{}
	}
	rows, _ := strconv.ParseUint(told.Rows, 10, 64)
	bytes, _ := strconv.ParseUint(told.Bytes, 10, 64)
	return analyst.Reading{Rows: rows, Bytes: bytes}
}

// following asks how far a statement is.
type following struct {
	cancel      context.CancelFunc
	done        chan struct{}
	rows, bytes atomic.Uint64
}

func (a *Analysts) follow(ctx context.Context, id string) *following {
	ctx, cancel := context.WithCancel(ctx)
	f := &following{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		tick := time.NewTicker(readingInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// Not ended with ctx: that would cost the pool a connection.
			var rows, bytes uint64
			asking, done := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
			err := a.db.conn.QueryRow(params(asking, clickhouse.Parameters{"id": id}), sqlText("analyst_reading")).Scan(&rows, &bytes)
			done()
			if err == nil {
				f.rows.Store(rows)
				f.bytes.Store(bytes)
			}
		}
	}()
	return f
}

func (f *following) stop() analyst.Reading {
	f.cancel()
	<-f.done
	return analyst.Reading{Rows: f.rows.Load(), Bytes: f.bytes.Load()}
}

// newQueryID names a statement in system.processes.
func newQueryID() string { return fmt.Sprintf("sql-%016x", leadevents.NewID()) }
