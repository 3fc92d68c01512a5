package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"leadevents/internal/storetest"
)

func oneEvent(phone int) string {
	return fmt.Sprintf(`{"organizationId":1,"eventType":"signup","events":[{"phoneE164":"+1555%07d","occurredAt":"2026-05-12T18:34:00Z"}]}`, phone)
}

// answer sends until it is answered.
func (d *devProcess) answer(body string) counts {
	d.t.Helper()
	var c counts
	d.eventually("an answer", func() bool {
		var err error
		c, err = d.send(d.t.Context(), body)
		return err == nil
	})
	return c
}

func (d *devProcess) wants(body string, want counts) {
	d.t.Helper()
	if got := d.answer(body); got != want {
		d.t.Fatalf("answered %+v, want %+v", got, want)
	}
}

// dev.json is the contract's, for its owner only; a stop ends all three; a second
// start finds everything; so does one after SIGKILL, which ends what the killed
// one left behind; a second dev beside a living one is an error.
func TestDevOverItsWholeLife(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d := startDev(t, dir)
	first := d.now()
	info, err := os.Stat(filepath.Join(dir, "dev.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("dev.json: %v, %v", info.Mode(), err)
	}
	var fields map[string]any
	text, _ := os.ReadFile(filepath.Join(dir, "dev.json"))
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"url", "organizationId", "apiKey", "operatorToken", "pid",
		"clickhouse native", "clickhouse http", "clickhouse database", "clickhouse user", "clickhouse password", "clickhouse pid",
		"redis addr", "redis password", "redis pid"} {
		at := any(fields)
		for name := range strings.FieldsSeq(path) {
			at = at.(map[string]any)[name]
		}
		if at == nil || at == "" || at == 0.0 {
			t.Errorf("dev.json has no %s: %s", path, text)
		}
	}
	d.wants(oneEvent(1), counts{1, 1, 0, 0})
	d.wants(oneEvent(1), counts{1, 0, 1, 0})
	if got := d.query("SELECT organization_id, event_type, phone, toString(occurred_at), metadata FROM lead_events FORMAT CSV"); got != `1,"signup",15550000001,"2026-05-12 18:34:00.000","{}"` {
		t.Errorf("the row in ClickHouse is %s", got)
	}

	second := exec.Command(filepath.Join(storetest.Programs(t), "leadevents"), "dev", "--data-dir", dir, "--listen", "127.0.0.1:0")
	second.Env = d.cmd.Env
	out, err := second.CombinedOutput()
	if err == nil || !strings.Contains(string(out), fmt.Sprintf("in use by process %d", first.PID)) {
		t.Errorf("a second dev on the folder: %v\n%s", err, out)
	}

	d.stop()
	for name, pid := range map[string]int{"ClickHouse": first.ClickHouse.PID, "Redis": first.Redis.PID} {
		if alive(pid) {
			t.Errorf("%s (%d) is left behind by a stop", name, pid)
		}
	}

	d = startDev(t, dir)
	d.wants(oneEvent(1), counts{1, 0, 1, 0})
	d.wants(oneEvent(2), counts{1, 1, 0, 0})
	killed := d.now()
	d.signal(syscall.SIGKILL)
	<-d.ended

	d = startDev(t, dir)
	for name, pid := range map[string]int{"ClickHouse": killed.ClickHouse.PID, "Redis": killed.Redis.PID} {
		now := d.now()
		if alive(pid) && pid != now.ClickHouse.PID && pid != now.Redis.PID {
			t.Errorf("%s (%d) of the killed dev still runs", name, pid)
		}
	}
	d.wants(oneEvent(1), counts{1, 0, 1, 0})
	d.wants(oneEvent(2), counts{1, 0, 1, 0})
	d.wants(oneEvent(3), counts{1, 1, 0, 0})
	d.stop()
}

// kill -9 of the engine and of redis-server while requests run: the server keeps
// running, both come back, dev.json follows them, every key of an answer is in
// ClickHouse, and no more are told inserted than there are.
func TestKilledStoresLoseNothing(t *testing.T) {
	d := startDev(t, filepath.Join(t.TempDir(), "data"))
	var (
		mu       sync.Mutex
		inserted int
		answered = map[string]bool{} // phone@ms
		doubtful = map[string]bool{} // in a request without an answer
		stop     atomic.Bool
		clients  sync.WaitGroup
		round    atomic.Int64
	)
	base := time.Now().UnixMilli()
	for client := range 6 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(5, uint64(client/2))) // pairs send the same
			for !stop.Load() {
				n := 1 + random.IntN(20)
				if random.IntN(6) == 0 {
					n = 1500
				}
				rows, keys := make([]string, n), make([]string, n)
				for i := range rows {
					at := base + int64(random.IntN(20))
					if random.IntN(2) == 0 {
						at -= 400 * 24 * 3600 * 1000
					}
					phone := 15550000000 + random.IntN(2000)
					rows[i] = fmt.Sprintf(`{"phoneE164":"+%d","occurredAt":%q}`, phone, time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.000Z"))
					keys[i] = fmt.Sprintf("%d@%d", phone, at)
				}
				body := `{"organizationId":1,"eventType":"load","events":[` + strings.Join(rows, ",") + `]}`
				for {
					c, err := d.send(t.Context(), body)
					mu.Lock()
					for _, key := range keys {
						answered[key] = true // at the latest when the loop ends
						if err != nil {
							doubtful[key] = true
						}
					}
					inserted += c.Inserted
					mu.Unlock()
					if err == nil {
						if c.Received != n || c.Inserted+c.Duplicates != n {
							t.Errorf("%d rows were answered %+v", n, c)
						}
						break
					}
					if !strings.Contains(err.Error(), errUnanswered.Error()) {
						t.Error(err)
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
				round.Add(1)
			}
		})
	}
	for turn := range 4 {
		d.eventually("requests are answered", func() bool { return round.Swap(0) > 0 })
		before := d.now()
		if turn%2 == 0 {
			_ = syscall.Kill(before.ClickHouse.PID, syscall.SIGKILL)
			d.eventually("dev.json has ClickHouse's new pid", func() bool { return d.now().ClickHouse.PID != before.ClickHouse.PID })
		} else {
			_ = syscall.Kill(before.Redis.PID, syscall.SIGKILL)
			d.eventually("dev.json has Redis' new pid", func() bool { return d.now().Redis.PID != before.Redis.PID })
		}
		if d.now().PID != before.PID {
			t.Fatal("the server was restarted")
		}
		round.Store(0)
	}
	d.eventually("requests are answered", func() bool { return round.Load() > 0 })
	stop.Store(true)
	clients.Wait()

	stored := map[string]bool{}
	for line := range strings.Lines(d.query("SELECT DISTINCT concat(toString(phone), '@', toString(toUnixTimestamp64Milli(occurred_at))) FROM lead_events WHERE event_type = 'load'")) {
		stored[strings.TrimSpace(line)] = true
	}
	for key := range answered {
		if !stored[key] {
			t.Errorf("%s was answered and is not stored", key)
		}
	}
	if inserted > len(stored) || inserted < len(stored)-len(doubtful) {
		t.Errorf("%d keys were told inserted, %d are stored, %d were in a request without an answer", inserted, len(stored), len(doubtful))
	}
	t.Logf("%d keys, %d told inserted, %d doubtful", len(stored), inserted, len(doubtful))
}

// SIGTERM while requests run: what is in flight is answered, stored and sealed.
func TestAStopLosesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d := startDev(t, dir)
	var (
		mu      sync.Mutex
		sent    = map[int]counts{}
		next    atomic.Int64
		clients sync.WaitGroup
	)
	ctx := t.Context()
	for range 16 {
		clients.Go(func() {
			for {
				phone := int(next.Add(1))
				c, err := d.send(ctx, oneEvent(phone))
				if err != nil {
					return // refused: the stop has begun
				}
				mu.Lock()
				sent[phone] = c
				mu.Unlock()
			}
		})
	}
	d.eventually("requests run", func() bool { return next.Load() > 500 })
	d.stop()
	clients.Wait()
	d = startDev(t, dir)
	if n, _ := strconv.Atoi(d.query("SELECT uniqExact(phone) FROM lead_events")); n < len(sent) {
		t.Errorf("%d were answered, %d are stored", len(sent), n)
	}
	for phone, c := range sent {
		if c != (counts{1, 1, 0, 0}) {
			t.Errorf("%d was answered %+v", phone, c)
		}
	}
	for _, phone := range []int{1, len(sent) / 2} {
		d.wants(oneEvent(phone), counts{1, 0, 1, 0})
	}
}

// The load generator's events, sent with repeats, rejects and retries: the
// distinct keys in ClickHouse are the sum of inserted of all answers.
func TestLoadedKeysAreCountedOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d := startDev(t, dir)
	for _, arguments := range [][]string{
		{"--events", "60000", "--batch", "5000", "--duplicates", "20", "--rejects", "5", "--times", "live"},
		{"--events", "40000", "--batch", "8000", "--duplicates", "10", "--times", "history", "--compression", "zstd"},
		{"--events", "2000", "--batch", "1", "--concurrency", "32", "--seed", "3"},
	} {
		command := exec.Command(filepath.Join(storetest.Programs(t), "loadgen"), append([]string{"post", "--dev", dir, "--verify"}, arguments...)...)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("loadgen %v: %v\n%s", arguments, err, out)
		}
		t.Logf("%s", out)
	}
	if keys, states := d.query("SELECT uniqExact(organization_id, event_type, phone, occurred_at) FROM lead_events"), d.query("SELECT count() FROM lead_events FINAL"); keys != states {
		t.Errorf("%s distinct keys, FINAL counts %s", keys, states)
	}
	const compare = `SELECT count() FROM (
		SELECT organization_id, event_type, phone, min(first_at) AS a, max(last_at) AS b FROM lead_states GROUP BY ALL
		EXCEPT SELECT organization_id, event_type, phone, min(occurred_at), max(occurred_at) FROM lead_events GROUP BY ALL)`
	if different := d.query(compare); different != "0" {
		t.Errorf("%s states are not those of the events", different)
	}
}
