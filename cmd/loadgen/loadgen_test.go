package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"leadevents"
	"leadevents/cmd/internal/app"
	"leadevents/configs"
	"leadevents/internal/loadgen"
	"leadevents/internal/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// run is the command line; out is what it prints.
func run(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	var buffer bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&buffer)
	err = root.ExecuteContext(t.Context())
	return buffer.String(), err
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(t, args...)
	if err != nil {
		t.Fatalf("loadgen %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

const moment = "--now=2026-11-24T12:00:00Z"

func TestFilesAreTheSameInEveryCompression(t *testing.T) {
	for _, format := range []string{"ndjson", "csv"} {
		args := []string{"file", "--events", "1000", "--batch", "100", "--format", format, "--times", "history", moment}
		plain := mustRun(t, args...)
		if again := mustRun(t, args...); again != plain {
			t.Errorf("%s: two runs differ", format)
		}
		if other := mustRun(t, append(args, "--seed", "2")...); other == plain {
			t.Errorf("%s: another seed gives the same file", format)
		}
		zipped, err := gzip.NewReader(strings.NewReader(mustRun(t, append(args, "--compression", "gzip")...)))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(zipped); err != nil || string(text) != plain {
			t.Errorf("%s, gzip: %v, or another text", format, err)
		}
		squeezed, err := zstd.NewReader(strings.NewReader(mustRun(t, append(args, "--compression", "zstd")...)))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(squeezed); err != nil || string(text) != plain {
			t.Errorf("%s, zstd: %v, or another text", format, err)
		}
		squeezed.Close()
		lines := strings.Count(plain, "\n")
		if format == "csv" {
			rows, err := csv.NewReader(strings.NewReader(plain)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			lines = len(rows) - 1
		}
		if lines != 1000 {
			t.Errorf("%s has %d events, want 1000", format, lines)
		}
	}
}

func TestBodiesHoldEveryEvent(t *testing.T) {
	dir := t.TempDir()
	mustRun(t, "bodies", "--events", "250", "--batch", "100", "--out", dir, moment)
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ Events []json.RawMessage }
		if err := json.Unmarshal(text, &body); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		events += len(body.Events)
	}
	if len(names) != 3 || events != 250 {
		t.Errorf("%d files with %d events, want 3 with 250", len(names), events)
	}
}

// The leads of an audience are those of the events, whatever the format.
func TestAudiencesHoldTheLeadsOfTheEvents(t *testing.T) {
	args := []string{"audience", "--leads", "500", "--first", "3"}
	rows, err := csv.NewReader(strings.NewReader(mustRun(t, args...))).ReadAll()
	if err != nil || len(rows) != 501 || rows[0][0] != "phoneE164" || rows[0][1] != "externalId" {
		t.Fatalf("%d rows, the first %v, %v", len(rows), rows[0], err)
	}
	g, err := loadgen.New(loadgen.Config{Seed: 1, Org: 1, Times: loadgen.Live(leadevents.MaxOccurredAt)})
	if err != nil {
		t.Fatal(err)
	}
	type lead struct{ PhoneE164, ExternalID string }
	var want []lead
	for i, row := range rows[1:] {
		if row[0] != g.Phone(uint64(i+3)).String() || row[1] != fmt.Sprintf("crm-%d", i+3) {
			t.Fatalf("row %d is %v", i, row)
		}
		want = append(want, lead{row[0], row[1]})
	}
	var document struct{ Leads []lead }
	if err := json.Unmarshal([]byte(mustRun(t, append(args, "--format", "json")...)), &document); err != nil || !slices.Equal(document.Leads, want) {
		t.Errorf("json: %d leads, %v", len(document.Leads), err)
	}
	var lines []lead
	for line := range strings.Lines(mustRun(t, append(args, "--format", "ndjson")...)) {
		var l lead
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	if !slices.Equal(lines, want) {
		t.Errorf("ndjson: %d leads", len(lines))
	}
}

func TestFlagsThatMakeNoSense(t *testing.T) {
	for want, args := range map[string][]string{
		"none of live, horizon and history":    {"sql", "--times", "soon"},
		"is not between 1 and 50":              {"sql", "--times", "history", "--years", "0"},
		"is not a moment":                      {"sql", "--now", "noon"},
		"--events must be above 0":             {"sql", "--events", "0"},
		"--batch must be above 0":              {"sql", "--batch", "0"},
		"is not a multiple of --batch":         {"sql", "--first", "7"},
		"0 to 999 per mille":                   {"sql", "--duplicates", "-1"},
		"neither ndjson nor csv":               {"file", "--format", "xml"},
		"none of none, gzip and zstd":          {"file", "--compression", "br"},
		"none of csv, ndjson and json":         {"audience", "--format", "xml"},
		"--leads must be above 0":              {"audience", "--leads", "0"},
		"--url is missing":                     {"post"},
		"--key is missing":                     {"post", "--url", "http://127.0.0.1:1"},
		"--verify needs --dev":                 {"post", "--url", "http://127.0.0.1:1", "--key", "k", "--verify"},
		"is above 50,000":                      {"post", "--url", "http://127.0.0.1:1", "--key", "k", "--batch", "50001"},
		"--concurrency 0":                      {"post", "--url", "http://127.0.0.1:1", "--key", "k", "--concurrency", "0"},
		"is `leadevents dev` ready":            {"post", "--dev", "/nonexistent"},
		"loadgen needs an organization id":     {"sql", "--org", "0"},
		"unknown command \"now\" for \"loadg":  {"sql", "now"},
		"--compression \"br\" is none of none": {"post", "--url", "http://127.0.0.1:1", "--key", "k", "--compression", "br"},
	} {
		if _, err := run(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("loadgen %s: got %v, want %q", strings.Join(args, " "), err, want)
		}
	}
}

// answering is a server that gives each call its answer, by its number from 0.
func answering(t *testing.T, answer func(call int64, w http.ResponseWriter, r *http.Request)) string {
	t.Helper()
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(calls.Add(1)-1, w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestACallIsSentAgainUntilItIsAnswered(t *testing.T) {
	var keys [4]string
	url := answering(t, func(call int64, w http.ResponseWriter, r *http.Request) {
		keys[call] = r.Header.Get("Idempotency-Key")
		switch call {
		case 0:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			panic(http.ErrAbortHandler) // no answer at all
		default:
			fmt.Fprint(w, `{"received":10,"inserted":7,"duplicates":2,"rejected":1}`)
		}
	})
	out := mustRun(t, "post", "--url", url, "--key", "k", "--events", "10", "--idempotency-key")
	// Two by us; the one without an answer net/http itself sends again, seeing
	// the Idempotency-Key.
	if !strings.Contains(out, "received 10, inserted 7, duplicates 2, rejected 1\n1 calls answered, 2 sent again, 0 given up") {
		t.Errorf("the report is\n%s", out)
	}
	if keys[0] == "" || keys[0] != keys[3] {
		t.Errorf("idempotency keys are %q, want one for all attempts", keys)
	}
}

func TestAnswersThatAreNoGood(t *testing.T) {
	for want, answer := range map[string]func(w http.ResponseWriter){
		"status 401": func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) },
		"do not sum": func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"received":10,"inserted":7,"duplicates":2,"rejected":0}`)
		},
		"is not JSON": func(w http.ResponseWriter) { fmt.Fprint(w, `hello`) },
		"status 503": func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
	} {
		url := answering(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { answer(w) })
		if _, err := run(t, "post", "--url", url, "--key", "k", "--events", "10", "--retries", "1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestVerification(t *testing.T) {
	for claim, c := range map[string]struct {
		tally      *tally
		stored     uint64
		idempotent bool
		right      bool
	}{
		"equal":                                   {&tally{counts: counts{Inserted: 5}}, 5, false, true},
		"less stored than answered":               {&tally{counts: counts{Inserted: 5}}, 4, false, false},
		"less stored, with calls sent again":      {&tally{counts: counts{Inserted: 5}, resent: 1}, 4, false, false},
		"more stored than answered":               {&tally{counts: counts{Inserted: 5}}, 6, false, false},
		"more stored, with calls sent again":      {&tally{counts: counts{Inserted: 5}, resent: 1}, 6, false, true},
		"more stored, sent again with their keys": {&tally{counts: counts{Inserted: 5}, resent: 1}, 6, true, false},
		"more stored, calls given up":             {&tally{counts: counts{Inserted: 5}, failed: 1}, 6, true, true},
	} {
		if err := c.tally.compare(io.Discard, c.stored, c.idempotent); (err == nil) != c.right {
			t.Errorf("%s: %v", claim, err)
		}
	}
}

// Against the real server and its real stores: the sum of inserted is the
// number of keys that became stored, whatever overlaps with what.
func TestPostAgainstARealServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	settings := configs.Defaults()
	settings.Listen = "127.0.0.1:0"
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- app.Dev(ctx, settings, app.DevOptions{DataDir: dir, Out: io.Discard, Log: slog.New(slog.DiscardHandler)})
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("dev: %v", err)
		}
	}()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := readDevFile(filepath.Join(dir, "dev.json")); err == nil {
			break
		}
		select {
		case err := <-done:
			done <- nil
			t.Fatalf("dev ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("dev is not ready after two minutes")
		}
	}
	load := []string{"post", "--dev", dir, "--verify", "--times", "horizon", moment, "--events", "20000", "--batch", "1000", "--duplicates", "5", "--rejects", "1"}
	first := mustRun(t, append(load, "--compression", "zstd")...)
	again := mustRun(t, append(load, "--idempotency-key")...)
	if !strings.Contains(first, "received 20000, inserted 1") || !strings.Contains(again, "received 20000, inserted 0") {
		t.Errorf("first\n%sagain\n%s", first, again)
	}
	overlap := mustRun(t, append(load, "--first", "15000")...)
	if !strings.Contains(overlap, "verified:") {
		t.Errorf("overlapping ranges:\n%s", overlap)
	}
	backfill := mustRun(t, "post", "--dev", dir, "--verify", "--times", "history", "--years", "20", "--events", "5000", "--batch", "500", "--concurrency", "8")
	if !strings.Contains(backfill, "received 5000, inserted 5000, duplicates 0, rejected 0") {
		t.Errorf("backfill:\n%s", backfill)
	}
}
