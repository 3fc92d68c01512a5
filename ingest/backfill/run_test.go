package backfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leadevents"
)

// A run in a process of its own, so that it can be killed.
const childEnv = "BACKFILL_TEST_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		os.Exit(child(text))
	}
	goleak.VerifyTestMain(m)
}

type childOf struct {
	URL, Dir     string
	Rows         uint64
	Types        int
	ConcurrentAt int
}

func child(text string) int {
	var c childOf
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cfg := small(c.Dir, c.Rows, mixed(c.Types), clientOf{c.URL})
	r, err := New(cfg)
	if err == nil {
		err = r.Go(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = json.NewEncoder(os.Stdout).Encode(r.Progress().Counts)
	return 0
}

// small is a run in small batches with short pauses.
func small(dir string, n uint64, make func(i uint64, row *Row), servers ...Server) Config {
	return Config{
		Files: []File{{Name: "events.ndjson", Size: int64(n)}}, Organization: 7, Servers: servers, Compress: true,
		StatePath: filepath.Join(dir, "events.ndjson.backfill.json"), RejectsPath: filepath.Join(dir, "events.ndjson.rejects.ndjson"),
		Patience: time.Minute, Say: func(string, ...any) {},
		Open: func(ctx context.Context, _ []File, _ Mapping, at Position) (Source, error) {
			return &fileOfRows{ctx: ctx, at: at.Row, n: n, make: make}, nil
		},
		limits: limits{BatchRows: 200, BatchBytes: 1 << 20, SpanRows: 500, SpanBytes: 4 << 20, SpanTypes: 100},
		timing: timing{pause: time.Millisecond, longest: 10 * time.Millisecond, checkpoint: 10 * time.Millisecond},
	}
}

func mustRun(t *testing.T, cfg Config) *Runner {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Go(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// holds compares a run's totals and rejects with a plain count of the rows.
func holds(t *testing.T, cfg Config, got Counts, n uint64, make func(i uint64, row *Row)) {
	t.Helper()
	want := plainCount(n, make)
	got.Batches = 0
	if got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	text, err := os.ReadFile(cfg.RejectsPath)
	if err != nil && want.Rejected > 0 {
		t.Fatal(err)
	}
	var lines strings.Builder
	for line := range strings.Lines(string(text)) {
		var r struct {
			Line   uint64
			Reason string
			Row    map[string]any
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Reason == "" || r.Row["n"] != float64(r.Line-1) {
			t.Fatalf("a reject is %s (%v)", line, err)
		}
		fmt.Fprintln(&lines, r.Line)
	}
	if want := rejectedLines(n, make); lines.String() != want {
		t.Errorf("the rejects file has other lines:\n%.300s\nwant\n%.300s", lines.String(), want)
	}
}

func TestARunCountsExactlyThroughTrouble(t *testing.T) {
	for _, c := range []struct {
		name  string
		types int
		n     uint64
	}{{"one type", 1, 10_000}, {"several types", 5, 10_000}, {"types beyond those that may be open", 150, 3_000}, {"nothing", 1, 0}} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeServer(t, 0.2)
			cfg := small(t.TempDir(), c.n, mixed(c.types), clientOf{f.URL})
			r := mustRun(t, cfg)
			holds(t, cfg, r.Progress().Counts, c.n, mixed(c.types))
			if len(f.stored) != int(r.Progress().Counts.Inserted) {
				t.Errorf("%d keys are stored, %d were told inserted", len(f.stored), r.Progress().Counts.Inserted)
			}
			if len(f.runs) > 1 || (c.n > 0 && f.runs[r.Run()] == 0) {
				t.Errorf("calls by run: %v, want all of %s", f.runs, r.Run())
			}
			// The same command again has nothing to do.
			again, err := New(cfg)
			if err != nil || !again.Done() || again.Progress().Counts != r.Progress().Counts {
				t.Errorf("again: %v, done %v, %+v", err, again.Done(), again.Progress())
			}
			calls := f.calls
			if err := again.Go(t.Context()); err != nil || f.calls != calls {
				t.Errorf("again: %v, %d calls", err, f.calls-calls)
			}
		})
	}
}

// Kill -9 at random moments, resumed until it is done.
func TestAKilledRunLosesAndDoublesNothing(t *testing.T) {
	const n, types = 40_000, 3
	f := newFakeServer(t, 0.05)
	dir := t.TempDir()
	text, err := json.Marshal(childOf{URL: f.URL, Dir: dir, Rows: n, Types: types})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	kills := 0
	var got Counts
	for attempt := 0; ; attempt++ {
		if attempt > 200 {
			t.Fatal("not done after 200 attempts")
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+string(text))
		var out, problems strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &problems
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		killed := make(chan struct{})
		kill := f.answered() + 1 + rng.IntN(25)
		go func() {
			defer close(killed)
			for f.answered() < kill {
				select {
				case <-ended:
					return
				case <-time.After(time.Millisecond):
				}
			}
			_ = cmd.Process.Kill()
		}()
		err := cmd.Wait()
		close(ended)
		<-killed
		if err == nil {
			if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
				t.Fatal(err)
			}
			break
		}
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Exited() {
			t.Fatalf("the run ended with %v: %s", err, problems.String())
		}
		kills++
	}
	t.Logf("%d kills", kills)
	if kills < 5 {
		t.Errorf("only %d kills: this proves little", kills)
	}
	cfg := small(dir, n, mixed(types))
	holds(t, cfg, got, n, mixed(types))
	if len(f.stored) != int(got.Inserted) || len(f.runs) != 1 {
		t.Errorf("%d keys are stored by %d runs, %d were told inserted", len(f.stored), len(f.runs), got.Inserted)
	}
}

// Standard input that ends when the run is stopped is not taken for its end, and is given whole again.
func TestStandardInputGoesOn(t *testing.T) {
	const n = 5_000
	f := newFakeServer(t, 0.05)
	cfg := small(t.TempDir(), n, mixed(2), clientOf{f.URL})
	cfg.Files = []File{{Name: Stdin}}
	whole := cfg.Open
	ctx, stop := context.WithCancel(t.Context())
	cfg.Open = func(ctx context.Context, _ []File, _ Mapping, at Position) (Source, error) {
		return &fileOfRows{ctx: context.WithoutCancel(ctx), at: at.Row, n: 2_345, make: mixed(2), end: stop}, nil
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Go(ctx); !errors.Is(err, ErrStopped) {
		t.Fatalf("the end of a program that was stopped is taken for that of the file: %v", err)
	}
	cfg.Open = func(ctx context.Context, files []File, m Mapping, at Position) (Source, error) {
		if at != (Position{}) {
			t.Errorf("standard input is opened at %+v", at)
		}
		return whole(ctx, files, m, at)
	}
	again := mustRun(t, cfg)
	holds(t, cfg, again.Progress().Counts, n, mixed(2))
	if int(again.Progress().Counts.Inserted) != len(f.stored) {
		t.Errorf("%d keys are stored, %d were told inserted", len(f.stored), again.Progress().Counts.Inserted)
	}
}

// Ctrl-C: what is in flight is waited for, and the same command goes on.
func TestAStoppedRunGoesOn(t *testing.T) {
	const n = 20_000
	f := newFakeServer(t, 0.05)
	cfg := small(t.TempDir(), n, mixed(2), clientOf{f.URL})
	stops := 0
	for {
		r, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		before := r.Progress().Counts
		go func() {
			for r.Progress().Counts.Rows < before.Rows+n/5 && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			stop()
		}()
		err = r.Go(ctx)
		stop()
		if err == nil {
			holds(t, cfg, r.Progress().Counts, n, mixed(2))
			break
		}
		if !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
		// Nothing that was sent is unanswered: the totals of the server are those of the checkpoint.
		if int(r.Progress().Counts.Inserted) != len(f.stored) {
			t.Errorf("stopped with %d inserted, the server has %d", r.Progress().Counts.Inserted, len(f.stored))
		}
		stops++
	}
	if stops < 2 {
		t.Errorf("only %d stops", stops)
	}
}

// What was answered behind a batch that was not is counted as it was answered, also when the server
// has forgotten the Idempotency-Keys.
func TestAnswersAreKeptBeyondTheLifeOfTheirKeys(t *testing.T) {
	const n = 3_000
	f := newFakeServer(t, 0)
	hold := make(chan struct{})
	f.held, f.hold = "-0.0.0", hold // the first call
	cfg := small(t.TempDir(), n, mixed(1), clientOf{f.URL})
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		for r.Progress().Counts.Batches < 4 {
			time.Sleep(time.Millisecond)
		}
		stop()
		close(hold)
	}()
	if err := r.Go(ctx); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	f.forget()
	again, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.state; got.Mark != (Position{}) || len(got.Answered) < 4 {
		t.Fatalf("the mark is %+v, %d answers are kept", got.Mark, len(got.Answered))
	}
	if err := again.Go(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, cfg, again.Progress().Counts, n, mixed(1))
}

// Of several servers one is dead: its calls go to the next at once.
func TestSeveralServersAreAskedInTurn(t *testing.T) {
	f := newFakeServer(t, 0)
	cfg := small(t.TempDir(), 5_000, mixed(1), clientOf{f.URL}, clientOf{"http://127.0.0.1:1"}, clientOf{f.URL})
	cfg.timing.pause, cfg.timing.longest = time.Hour, time.Hour // nobody waits
	r := mustRun(t, cfg)
	holds(t, cfg, r.Progress().Counts, 5_000, mixed(1))
}

func TestPatienceEnds(t *testing.T) {
	cfg := small(t.TempDir(), 100, mixed(1), clientOf{"http://127.0.0.1:1"})
	cfg.Patience = 20 * time.Millisecond
	said := ""
	cfg.Say = func(format string, args ...any) { said += fmt.Sprintf(format, args...) }
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Go(t.Context()); err == nil || !strings.Contains(err.Error(), "no answer for 20ms") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(said, "sent again for 20ms (--patience)") {
		t.Errorf("said: %s", said)
	}
}

// A server that was killed holds the keys of the calls it had under way for a time: a run that goes on
// says so, also when it has just said that the connection failed, and waits that out.
func TestAKeyThatADeadServerHoldsIsWaitedFor(t *testing.T) {
	f := newFakeServer(t, 0)
	cfg := small(t.TempDir(), 2_000, mixed(1), &failingOnce{Server: clientOf{f.URL}})
	cfg.Run = "held"
	f.running["backfill-held-0.0.0"] = make(chan struct{})
	var mu sync.Mutex
	var said []string
	cfg.Say = func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		text := fmt.Sprintf(format, args...)
		said = append(said, text)
		if strings.Contains(text, "still running") {
			f.mu.Lock()
			delete(f.running, "backfill-held-0.0.0")
			f.mu.Unlock()
		}
	}
	r := mustRun(t, cfg)
	holds(t, cfg, r.Progress().Counts, 2_000, mixed(1))
	if len(said) != 2 || !strings.Contains(said[0], "no route") || !strings.HasSuffix(said[1], "still running. It is sent again for 1m0s (--patience).") {
		t.Errorf("said: %q", said)
	}
}

// failingOnce is a server whose first connections fail.
type failingOnce struct {
	Server
	calls atomic.Int64
}

func (f *failingOnce) Send(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	if f.calls.Add(1) <= 3 {
		return nil, errors.New("no route")
	}
	return f.Server.Send(ctx, method, path, header, body)
}

// What the server refuses ends the run at once, and it goes on when that is mended.
func TestARefusalEndsTheRun(t *testing.T) {
	f := newFakeServer(t, 0)
	cfg := small(t.TempDir(), 2_000, mixed(1), clientOf{f.URL})
	cfg.Organization = 9
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Go(t.Context()); leadevents.KindOf(err) != leadevents.InvalidRequest {
		t.Errorf("%v", err)
	}
	if c := r.Progress().Counts; c.Batches != 0 {
		t.Errorf("%+v", c)
	}
}

// A key that may only ingest cannot list rejects: they are found by dry runs.
func TestAllRejectsAreFoundWithoutTheScopeQuery(t *testing.T) {
	f := newFakeServer(t, 0)
	f.mayRead = false
	bad := func(i uint64, row *Row) {
		mixed(1)(i, row)
		if row.Refused == "" && i%3 != 0 {
			row.Phone = []byte("12")
		}
	}
	cfg := small(t.TempDir(), 2_000, bad, clientOf{f.URL})
	r := mustRun(t, cfg)
	holds(t, cfg, r.Progress().Counts, 2_000, bad)
	if f.dryRuns == 0 {
		t.Error("no dry run")
	}
}

// What cannot be read on ends the run behind the rows before it.
func TestABrokenFileEndsTheRunBehindItsRows(t *testing.T) {
	f := newFakeServer(t, 0)
	cfg := small(t.TempDir(), 1_050, mixed(1), clientOf{f.URL})
	cfg.Open = func(ctx context.Context, _ []File, _ Mapping, at Position) (Source, error) {
		return &fileOfRows{ctx: ctx, at: at.Row, n: 1_050, make: mixed(1), stop: &FileError{Name: "events.ndjson", Line: 1_050, Err: errors.New("corrupt")}}, nil
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = r.Go(t.Context())
	if _, ok := errors.AsType[*FileError](err); !ok {
		t.Errorf("%v", err)
	}
	holds(t, cfg, r.Progress().Counts, 1_050, mixed(1))
	if again, err := New(cfg); err != nil || again.Done() || again.state.Mark.Row < 1_050 {
		t.Errorf("the checkpoint: %v", err)
	}
}

func TestADryRunStoresNothingAndReports(t *testing.T) {
	f := newFakeServer(t, 0.1)
	const n = 3_000
	cfg := small(t.TempDir(), n, mixed(2), clientOf{f.URL})
	cfg.DryRun = true
	r := mustRun(t, cfg)
	if len(f.stored) != 0 || len(f.receipts) != 0 {
		t.Errorf("%d keys are stored", len(f.stored))
	}
	if left, err := os.ReadDir(filepath.Dir(cfg.StatePath)); err != nil || len(left) != 0 {
		t.Errorf("a dry run leaves %v (%v)", left, err)
	}
	report, want := r.Report(), plainCount(n, mixed(2))
	if c := report.Counts; c.Rows != n || c.Rejected != want.Rejected || c.Inserted+c.Duplicates != want.Inserted+want.Duplicates || c.Inserted < want.Inserted {
		t.Errorf("%+v, want about %+v", c, want)
	}
	rows := uint64(0)
	for _, reason := range report.Reasons {
		rows += reason.Rows
		if len(reason.Lines) == 0 || len(reason.Hints) != 1 {
			t.Errorf("%+v", reason)
		}
	}
	if len(report.Reasons) != 2 || rows != want.Rejected || len(report.Types) != 2 || report.Types[0].First >= report.Types[0].Last {
		t.Errorf("%+v", report)
	}
	var first uint64
	if _, err := fmt.Sscan(rejectedLines(n, mixed(2)), &first); err != nil {
		t.Fatal(err)
	}
	if min(report.Reasons[0].Lines[0].Line, report.Reasons[1].Lines[0].Line) != first {
		t.Errorf("the first rejected line is %d: %+v", first, report.Reasons)
	}
}
