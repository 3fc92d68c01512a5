package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"leadevents/internal/storetest"
)

const (
	backfillRows  = 300_000
	backfillTypes = 40 // so that 200,000 rows, which are sent together, are 40 calls: a fault hits some of many
	earlierRows   = 15_000
	// attemptLimit is how long an attempt at a run may take: longer than all that it may wait for.
	attemptLimit = 4 * time.Minute
)

// KillClient is a fault of backfills alone.
const KillClient Kind = "kill the client"

// backfillFaults are injected in an order and at rows that the seed draws.
var backfillFaults = []Kind{
	KillClient, KillClient, KillClient, KillServer, KillServer, KillClickHouse, KillClickHouse, KillRedis, KillRedis, KillAll,
}

// TestABackfillThroughKillsOfEverythingIsExact loads a file, many of whose keys are in it twice or in one that
// was loaded before, while client, servers and stores are killed, and gives the same command again until it is
// done. Its totals over all attempts, the server's of the run and ClickHouse agree with a plain count.
func TestABackfillThroughKillsOfEverythingIsExact(t *testing.T) {
	w := newWorld(t, servers, false)
	dir := t.TempDir()
	rows := newRowsOf(*seed)
	earlier := &backfilling{w: w, path: filepath.Join(dir, "earlier.ndjson")}
	counts := rows.write(t, earlier.path, earlierRows)
	if got := earlier.run(); got.Counts != counts || got.State != "done" {
		t.Fatalf("undisturbed: %+v, want %+v", got, counts)
	}
	b := &backfilling{w: w, path: filepath.Join(dir, "history.ndjson")}
	counts = rows.write(t, b.path, backfillRows)

	// The faults are placed by rows: by time a slow machine would have all of them at its first row, and a
	// fast one none. The last is at 80 %, for rows that are stored twice count twice here.
	random := rand.New(rand.NewPCG(*seed, 3))
	faults := append([]Kind(nil), backfillFaults...)
	random.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	before := len(rows.stored) - counts.Inserted
	begun := time.Now()
	b.start()
	for i, kind := range faults {
		at := before + int((float64(i)+0.2+0.6*random.Float64())/float64(len(faults))*0.8*float64(counts.Inserted))
		stored := b.awaitRows(at)
		f := Fault{Kind: kind, Server: random.IntN(servers)}
		t.Logf("%s fault %d at %d rows: %s", time.Since(begun).Round(time.Millisecond), i+1, stored, f)
		if kind != KillClient && kind != KillAll {
			w.inject(f)
			continue
		}
		b.kill()
		if kind == KillAll {
			w.inject(f)
		}
		b.start()
	}
	got := b.wait()
	t.Logf("%s done", time.Since(begun).Round(time.Millisecond))
	w.heal()

	if got.State != "done" || got.Counts != counts {
		t.Errorf("the run's totals are %+v, the file has %+v", got, counts)
	}
	if text, err := os.ReadFile(b.path + ".rejects.ndjson"); err != nil || bytes.Count(text, []byte("\n")) != counts.Rejected {
		t.Errorf("%d rejects in the file, want %d (%v)", bytes.Count(text, []byte("\n")), counts.Rejected, err)
	}
	if run := b.status(got.Run); run != counts {
		t.Errorf("the server's totals of the run are %+v, the file has %+v", run, counts)
	}
	w.holdsExactly(rows)
	again := (&backfilling{w: w, path: b.path, flags: []string{"--again"}}).run()
	if want := (Counts{counts.Received, 0, counts.Received - counts.Rejected, counts.Rejected}); again.Counts != want {
		t.Errorf("loaded once more: %+v, want %+v", again, want)
	}
	for _, v := range w.checkTables(truth{}) {
		t.Error(v)
	}
	for _, s := range w.servers {
		for _, death := range s.deaths() {
			t.Error(death)
		}
	}
}

// rowsOf makes files of rows of organizations[0]: key n has a type, a phone and a moment of n.
type rowsOf struct {
	random *rand.Rand
	stored map[int]bool // keys of all files
}

func newRowsOf(seed uint64) *rowsOf {
	return &rowsOf{random: rand.New(rand.NewPCG(seed, 2)), stored: map[int]bool{}}
}

func eventOf(n int) Event {
	// Over ten years, and not in the order of the file.
	at := time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n*7919%3650) * 24 * time.Hour).UnixMilli()
	return Event{Org: organizations[0], Type: fmt.Sprintf("type %02d", n%backfillTypes), Phone: 15550000000 + uint64(n), At: at + int64(n)}
}

// write writes a file, and gives what a plain count of its rows comes to.
func (r *rowsOf) write(t testing.TB, path string, rows int) (counts Counts) {
	t.Helper()
	var text bytes.Buffer
	for i := range rows {
		n := len(r.stored) // a new one
		switch {
		case r.random.IntN(10) == 0: // near, so mostly in the same call
			n = max(0, n-1-r.random.IntN(1000))
		case r.random.IntN(8) == 0:
			n = r.random.IntN(n + 1)
		}
		e := eventOf(n)
		phone := "+" + strconv.FormatUint(e.Phone, 10)
		counts.Received++
		switch {
		case r.random.IntN(2000) == 0:
			phone = "12"
			counts.Rejected++
		case r.stored[n]:
			counts.Duplicates++
		default:
			r.stored[n] = true
			counts.Inserted++
		}
		fmt.Fprintf(&text, `{"phone":%q,"type":%q,"timestamp":%d,"row":%d}`+"\n", phone, e.Type, e.At, i)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return counts
}

// backfilling is a `leadevents backfill` of one file, which may be killed and started again.
type backfilling struct {
	w     *world
	path  string
	flags []string

	cmd           *exec.Cmd
	out, problems bytes.Buffer
	ended         chan error
}

// backfilled is the last line that a backfill prints.
type backfilled struct {
	Run, State string
	Rows       int
	Counts
}

func (b *backfilling) command(arguments ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(storetest.Programs(b.w.t), "leadevents"), append([]string{"backfill", "--json"}, arguments...)...)
	cmd.Env = append(os.Environ(), "LEADEVENTS_API_KEY="+b.w.keys[organizations[0]])
	for _, s := range b.w.servers {
		cmd.Args = append(cmd.Args, "--url", "http://"+s.addr)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (b *backfilling) start() {
	b.w.t.Helper()
	b.cmd = b.command(append([]string{b.path, "--type-column", "type"}, b.flags...)...)
	b.out.Reset()
	b.cmd.Stdout, b.cmd.Stderr = &b.out, &b.problems
	if err := b.cmd.Start(); err != nil {
		b.w.t.Fatal(err)
	}
	b.ended = make(chan error, 1)
	cmd, ended := b.cmd, b.ended
	go func() { ended <- cmd.Wait() }()
	b.w.t.Cleanup(func() { _ = cmd.Process.Kill() })
}

// kill kills it; that it had ended before is an error.
func (b *backfilling) kill() {
	b.w.t.Helper()
	_ = b.cmd.Process.Kill()
	err := <-b.ended
	if status, ok := b.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		b.w.t.Fatalf("it ended before it was killed: %v\n%s%s", err, tailOf(&b.out), tailOf(&b.problems))
	}
}

// awaitRows waits until so many rows are stored, and gives how many are.
func (b *backfilling) awaitRows(least int) (stored int) {
	b.w.t.Helper()
	b.w.eventually(fmt.Sprintf("%d rows are stored", least), func() bool {
		select {
		case err := <-b.ended:
			b.w.t.Fatalf("it has ended at less than %d rows, before all faults: %v\n%s%s", least, err, tailOf(&b.out), tailOf(&b.problems))
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		text, err := b.w.clickHouse.Exec(ctx, "SELECT count() FROM "+storetest.OwnDatabase+".lead_events")
		if err != nil {
			return false // it is on its way up
		}
		stored, err = strconv.Atoi(strings.TrimSpace(text))
		return err == nil && stored >= least
	})
	return stored
}

// wait waits for its end and gives what it came to; rejected rows are no failure.
func (b *backfilling) wait() (got backfilled) {
	b.w.t.Helper()
	const rejected = 3
	select {
	case err := <-b.ended:
		if code := b.cmd.ProcessState.ExitCode(); code != 0 && code != rejected {
			b.w.t.Fatalf("%v\n%s%s", err, tailOf(&b.out), tailOf(&b.problems))
		}
	case <-time.After(attemptLimit):
		_ = b.cmd.Process.Kill()
		<-b.ended
		b.w.t.Fatalf("it does not end within %s\n%s%s", attemptLimit, tailOf(&b.out), tailOf(&b.problems))
	}
	lines := bytes.Split(bytes.TrimSpace(b.out.Bytes()), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &got); err != nil {
		b.w.t.Fatalf("%v: %s", err, tailOf(&b.out))
	}
	got.Received = got.Rows // its name there
	return got
}

func (b *backfilling) run() backfilled {
	b.w.t.Helper()
	b.start()
	return b.wait()
}

// status is what the server has of a run.
func (b *backfilling) status(run string) (counts Counts) {
	b.w.t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://"+b.w.servers[0].addr+"/api/v1/runs/"+run, nil)
	if err != nil {
		b.w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+b.w.keys[organizations[0]])
	client := http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		b.w.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&counts); err != nil || response.StatusCode != http.StatusOK {
		b.w.t.Fatalf("the run %s: %s %v", run, response.Status, err)
	}
	return counts
}

// holdsExactly compares the distinct keys of ClickHouse with those of the files, one by one.
func (w *world) holdsExactly(rows *rowsOf) {
	w.t.Helper()
	conn := w.connect()
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	found, err := conn.Query(ctx, "SELECT DISTINCT organization_id, event_type, phone, toUnixTimestamp64Milli(occurred_at) FROM lead_events")
	if err != nil {
		w.t.Fatal(err)
	}
	defer found.Close()
	keys := 0
	for found.Next() {
		var (
			org, phone uint64
			eventType  string
			at         int64
		)
		if err := found.Scan(&org, &eventType, &phone, &at); err != nil {
			w.t.Fatal(err)
		}
		keys++
		e := Event{Org: int(org), Type: eventType, Phone: phone, At: at}
		if n := int(phone) - 15550000000; !rows.stored[n] || e != eventOf(n) {
			w.t.Errorf("ClickHouse has %+v, which is in no file", e)
		}
	}
	if err := found.Err(); err != nil {
		w.t.Fatal(err)
	}
	if keys != len(rows.stored) {
		w.t.Errorf("ClickHouse has %d distinct keys, the files %d", keys, len(rows.stored))
	}
}

func tailOf(b *bytes.Buffer) string {
	return string(b.Bytes()[max(0, b.Len()-2000):])
}
