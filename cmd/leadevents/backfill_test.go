package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"leadevents"
	"leadevents/auth"
	"leadevents/ingest/backfill"
)

// Calls are signed over the bytes as sent, under v1, which every organization takes; a server
// that knows the plain scheme alone, or a clock that is wrong, costs one refusal.
func TestABackfillSignsItsCalls(t *testing.T) {
	secret := auth.NewSecret("les_secret-of-this-test")
	t.Setenv(signingEnv, secret.Reveal())
	for _, scheme := range []string{"v1", "sha256"} {
		t.Run(scheme, func(t *testing.T) {
			calls, refused := 0, 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls++
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				want := auth.Sign(secret, body)
				if scheme == "v1" {
					_, want = auth.SignAt(secret, time.Now(), body)
					if r.Header.Get(auth.TimestampHeader) == "" {
						t.Error("no timestamp")
					}
				}
				// The clock may have gone on by a second since.
				_, before := auth.SignAt(secret, time.Now().Add(-time.Second), body)
				if got := r.Header.Get(auth.SignatureHeader); got != want && (scheme != "v1" || got != before) {
					refused++
					w.WriteHeader(http.StatusUnauthorized)
					_, _ = io.WriteString(w, `{"error":{"code":"unauthenticated","message":"bad signature"}}`)
					return
				}
				_, _ = io.WriteString(w, `{}`)
			}))
			defer server.Close()
			b := &backfilling{server: &serverFlags{keyless: true}, urls: []string{server.URL}}
			servers, err := b.servers(newBackfill())
			if err != nil {
				t.Fatal(err)
			}
			defer servers[0].http.CloseIdleConnections()
			for range 2 {
				response, err := servers[0].Send(t.Context(), http.MethodPost, webhooks+"lead-events", http.Header{}, []byte("bytes"))
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
			}
			if want := map[string]int{"v1": 0, "sha256": 1}[scheme]; refused != want || calls != 2+want {
				t.Errorf("%d calls, %d refused", calls, refused)
			}
			if _, err := servers[0].Send(t.Context(), http.MethodGet, "/api/v1/batches/1/rejects", http.Header{}, nil); leadevents.KindOf(err) != leadevents.Unauthenticated {
				t.Errorf("what is no webhook went out without a key: %v", err)
			}
		})
	}
}

// What sending again mends is told from what it does not.
func TestAnswersOfStrangersAreJudged(t *testing.T) {
	for status, hopeless := range map[int]bool{404: true, 200: false, 502: false, 503: false, 301: true} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>")
		}))
		b := &backfilling{server: &serverFlags{key: "k"}, urls: []string{server.URL}}
		servers, err := b.servers(newBackfill())
		if err != nil {
			t.Fatal(err)
		}
		response, err := servers[0].Send(t.Context(), http.MethodPost, webhooks+"lead-events", http.Header{}, nil)
		if err == nil {
			_ = response.Body.Close()
		}
		if isA[*backfill.HopelessError](err) != hopeless || (err == nil) != (status == 200) {
			t.Errorf("%d: %v", status, err)
		}
		if !hopeless && status != 200 && leadevents.KindOf(err) != leadevents.Unavailable {
			t.Errorf("%d is not sent again: %v", status, err)
		}
		servers[0].http.CloseIdleConnections()
		server.Close()
	}
}

func TestProgressFitsATerminal(t *testing.T) {
	p := backfill.Progress{
		Run: "abcdefghijkl", Counts: backfill.Counts{Rows: 123_456_789, Inserted: 123_000_000, Duplicates: 456_000, Rejected: 789},
		RowsPerSecond: 123_456, Read: 1 << 30, Size: 2 << 30, Left: 83 * time.Minute, Elapsed: 83 * time.Minute,
	}
	for _, c := range []struct {
		canvas canvas
		size   int64
		want   []string
	}{
		{canvas{width: 80, unicode: true}, p.Size, []string{
			"▕███████████████████████                       ▏  50.0%  123,456/s  1h 23m left",
			"123,456,789 rows, 123,000,000 inserted, 456,000 duplicates, 789 rejected",
		}},
		{canvas{width: 40}, p.Size, []string{
			"  50.0%  123,456/s  1h 23m left",
			"123,456,789 rows, 123,000,000 inserted",
		}},
		{canvas{width: 20}, p.Size, []string{" 50.0%  123,456/s", "123,456,789 rows"}},
		{canvas{width: 10}, p.Size, []string{" 50.0%", "123,456,~"}},
		{canvas{width: 200, unicode: true}, p.Size, []string{
			"▕█████████████████████████████                             ▏  50.0%  123,456/s  1h 23m left",
			"123,456,789 rows, 123,000,000 inserted, 456,000 duplicates, 789 rejected",
		}},
		{canvas{width: 60}, p.Size, []string{
			"[#############             ]  50.0%  123,456/s  1h 23m left",
			"123,456,789 rows, 123,000,000 inserted, 456,000 duplicates",
		}},
		{canvas{width: 80, unicode: true}, 0, []string{
			"123,456/s  1h 23m",
			"123,456,789 rows, 123,000,000 inserted, 456,000 duplicates, 789 rejected",
		}},
	} {
		p.Size = c.size
		got := c.canvas.backfillLines(p)
		for i, line := range got {
			if n := runewidth.StringWidth(line); n >= c.canvas.width {
				t.Errorf("at %d columns a line has %d: %s", c.canvas.width, n, line)
			}
			if i < len(c.want) && strings.TrimSpace(line) != strings.TrimSpace(c.want[i]) {
				t.Errorf("at %d columns:\n%s\nwant\n%s", c.canvas.width, line, c.want[i])
			}
		}
	}
}

// A shell's glob finds what the run before it left.
func TestWhatARunLeavesIsNoInput(t *testing.T) {
	got := withoutRejects([]string{"a.csv", "a.csv.rejects.ndjson", "./a.csv.backfill.json", "b.csv.rejects.ndjson"})
	if want := []string{"a.csv", "b.csv.rejects.ndjson"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBackfillIsRefusedForWhatItCannotDo(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "events.csv")
	if err := os.WriteFile(file, []byte("phone,occurred_at\n+15551234567,2026-05-12T18:34:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nowhere := []string{"--url", "http://127.0.0.1:1", "--key", "k", "--organization", "7", "--patience", "1ms"}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "no file is named"},
		{[]string{file, "--event-type", ""}, 2, "--event-type is empty"},
		{[]string{file, "--undo", "abc"}, 2, "--undo is about a run that the server has"},
		{[]string{"--status", "a b"}, 2, `--status is "a b"`},
		{[]string{"-", "--event-type", "a", "--key", "k"}, 2, "--state is missing"},
		{[]string{"-", file, "--event-type", "a", "--key", "k"}, 2, "standard input is read alone"},
		{[]string{file, "--event-type", "a", "--time-zone", "Mars/Olympus"}, 2, "--time-zone is"},
		{[]string{file, "--event-type", "a", "--restart", "--again"}, 2, "both begin a new run"},
		{[]string{file, "--event-type", "a", "--url", "ftp://x", "--key", "k"}, 2, "it must be http:// or https://"},
		{[]string{file, "--event-type", "a"}, 2, "a credential is missing"},
		{append([]string{file, "--event-type", "a", "--concurrency", "99"}, nowhere...), 2, "the concurrency is 99: 1 to 16 is allowed"},
		{append([]string{file, "--event-type", "a"}, nowhere...), 1, "no server can be reached at http://127.0.0.1:1"},
		{[]string{file, "--event-type", "a", "--url", "http://127.0.0.1:1", "--key", "k", "--patience", "1ms"}, 1, "no answer for 1ms, the last reason: no server can be reached"},
	} {
		t.Setenv(keyEnv, "")
		root := newRoot()
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		root.SetArgs(append([]string{"backfill"}, c.args...))
		err := root.ExecuteContext(t.Context())
		if exitCode(err) != c.code || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q exits with %d: %v", c.args, exitCode(err), err)
		}
	}
}

// A backfill that is started while its server restarts says so and waits, from its first question on.
func TestABackfillThatIsStartedBeforeItsServerWaits(t *testing.T) {
	for name, trouble := range map[string]func(http.ResponseWriter){
		"a connection that ends": func(w http.ResponseWriter) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err != nil {
				t.Error(err)
			} else {
				_ = conn.Close()
			}
		},
		"503": func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"error":{"code":"unavailable","message":"the ledger is being opened"}}`)
		},
		"502 of a proxy": func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "events.csv")
			if err := os.WriteFile(file, []byte("phone,occurred_at\n+15551234567,2026-05-12T18:34:00Z\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			var said heard
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				switch {
				case !strings.Contains(said.String(), "is sent again for 1m0s (--patience)"):
					trouble(w)
				case bytes.Contains(body, []byte("whose key is this?")):
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, `{"error":{"code":"organization_mismatch","message":"the key belongs to organization 7"}}`)
				case !bytes.HasPrefix(body, []byte(`{"organizationId":7,`)):
					t.Errorf("a call of another organization: %s", body)
				default:
					_, _ = io.WriteString(w, `{"status":"accepted","received":1,"inserted":1,"rejects":[],"batchId":"1"}`)
				}
			}))
			defer server.Close()
			var out bytes.Buffer
			root := newRoot()
			root.SetOut(&out)
			root.SetErr(&said)
			root.SetArgs([]string{"backfill", file, "--event-type", "a", "--url", server.URL, "--key", "k", "--patience", "1m"})
			if err := root.ExecuteContext(t.Context()); err != nil {
				t.Errorf("%v, and it said %s", err, said.String())
			}
			if !strings.Contains(out.String(), "1 rows: 1 inserted") || !strings.Contains(said.String(), "A call was not answered") {
				t.Errorf("it said %s%s", said.String(), out.String())
			}
		})
	}
}

// A backfill that is stopped while it has nothing in flight ends at once, and has said why all the same.
func TestAStopThatTakesNoTimeIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.csv")
	if err := os.WriteFile(file, []byte("phone,occurred_at\n+15551234567,2026-05-12T18:34:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, signalled := context.WithCancel(t.Context())
	signalled()
	for range 200 { // which comes first is the scheduler's choice
		var said heard
		root := newRoot()
		root.SetOut(io.Discard)
		root.SetErr(&said)
		root.SetArgs([]string{"backfill", file, "--event-type", "a", "--url", "http://127.0.0.1:1", "--key", "k"})
		if err := root.ExecuteContext(ctx); err == nil || !strings.Contains(said.String(), "Stopping: ") {
			t.Fatalf("%v, and it said %q", err, said.String())
		}
	}
}

// heard is what a command says on standard error while it runs.
type heard struct {
	mu   sync.Mutex
	text strings.Builder
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(b)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}
