package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"leadevents/internal/storetest"
)

// historyOf writes a file of events over ten years: a third of one type, then two types in turn; of
// a hundred rows one repeats another one, and some have phones that are none. It gives how many keys
// and rejected rows there are.
func historyOf(t *testing.T, path string, rows int) (keys, rejected int) {
	t.Helper()
	var plain bytes.Buffer
	rng := rand.New(rand.NewPCG(7, 7))
	seen := map[string]bool{}
	for i := range rows {
		eventType, n := "signup", i
		if i > rows/3 {
			eventType = []string{"call", "purchase"}[rng.IntN(2)]
		}
		if rng.IntN(100) == 0 {
			n = rng.IntN(i + 1)
		}
		phone := "+1555" + fmt.Sprintf("%07d", n)
		at := time.Date(2016, 1, 1, 0, 0, n*1000, 0, time.UTC).Format(time.RFC3339)
		if rng.IntN(1000) == 0 {
			phone = "12"
			rejected++
		} else if key := eventType + phone; !seen[key] {
			seen[key] = true
			keys++
		}
		fmt.Fprintf(&plain, `{"phone":%q,"type":%q,"occurred_at":%q,"plan":"pro","n":%d}`+"\n", phone, eventType, at, i)
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, w.EncodeAll(plain.Bytes(), nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return keys, rejected
}

// The client is killed in the middle, again and again, and stopped as Ctrl-C does; then totals, rejects and
// ClickHouse agree with a plain count of the file's distinct keys.
func TestABackfillThatIsKilledGoesOn(t *testing.T) {
	const rows = 150_000
	d := startDev(t, filepath.Join(t.TempDir(), "data"))
	file := filepath.Join(t.TempDir(), "history.ndjson.zst")
	keys, rejected := historyOf(t, file, rows)
	args := []string{"backfill", file, "--type-column", "type", "--data-dir", d.dir, "--json"}
	stored := func() int {
		n, err := strconv.Atoi(d.query("SELECT count() FROM lead_events"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	kills, stops := 0, 0
	for i := range 3 {
		at := stored() + 1
		cmd := exec.CommandContext(t.Context(), filepath.Join(storetest.Programs(t), "leadevents"), args...)
		var out, problems bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &problems
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		d.eventually("rows are stored", func() bool { return stored() >= at })
		if i == 0 { // not after a kill, when rows are stored that the dead client had sent
			_ = cmd.Process.Signal(syscall.SIGINT) // and again, as timeout(1) does
			_ = cmd.Process.Signal(syscall.SIGINT)
			if err := <-ended; cmd.ProcessState.ExitCode() != exitFailed {
				t.Logf("it had ended before it was stopped: %v %s", err, problems.String())
				continue
			}
			if !strings.Contains(out.String(), `"state":"stopped"`) || !strings.Contains(problems.String(), "Stopping: what is in flight is waited for") ||
				!strings.Contains(problems.String(), "the same command goes on with run") {
				t.Errorf("a backfill that is stopped says %s%s", out.String(), problems.String())
			}
			stops++
			continue
		}
		_ = cmd.Process.Kill()
		err := <-ended
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Exited() {
			t.Logf("it had ended before it was killed: %v %s", err, problems.String())
			continue
		}
		kills++
	}
	if kills == 0 || stops == 0 {
		t.Errorf("%d times killed, %d times stopped", kills, stops)
	}
	out, problems, code := program(t, "", nil, args...)
	if code != exitRejected && code != exitDone {
		t.Fatalf("exit code %d: %s", code, problems)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var total struct {
		State                                string
		Rows, Inserted, Duplicates, Rejected int
		RejectsFile                          string
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &total); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if total.State != "done" || total.Rows != rows || total.Inserted != keys || total.Rejected != rejected || total.Duplicates != rows-keys-rejected {
		t.Errorf("%+v; the file has %d keys, %d rejected rows of %d", total, keys, rejected, rows)
	}
	if got := d.query("SELECT count(), uniqExact(event_type, phone, occurred_at) FROM lead_events FINAL"); got != fmt.Sprintf("%d\t%d", keys, keys) {
		t.Errorf("ClickHouse has %s rows and keys, want %d", got, keys)
	}
	text, err := os.ReadFile(total.RejectsFile)
	if err != nil || strings.Count(string(text), "\n") != rejected {
		t.Errorf("the rejects file has %d lines, want %d (%v)", strings.Count(string(text), "\n"), rejected, err)
	}

	// The rows that are mended are loaded by the same command.
	mended := filepath.Join(t.TempDir(), "mended.ndjson")
	var b strings.Builder
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		b.WriteString(strings.Replace(line, `"phone":"12"`, fmt.Sprintf(`"phone":"+1666%07d"`, n), 1))
	}
	if err := os.WriteFile(mended, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, problems, code = program(t, "", nil, "backfill", mended, "--type-column", "type", "--data-dir", d.dir)
	if code != exitDone || !strings.Contains(out, fmt.Sprintf("%d rows: %d inserted, 0 duplicates, 0 rejected", rejected, rejected)) {
		t.Errorf("exit code %d: %s%s", code, out, problems)
	}
}
