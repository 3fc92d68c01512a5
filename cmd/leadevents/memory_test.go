package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"leadevents"
	"leadevents/cmd/internal/app"
	"leadevents/configs"
	"leadevents/ingest"
	"leadevents/internal/storetest"
)

const (
	// memoryLimit is what the server may ever have held, eight bodies of the
	// largest size being in it at once.
	memoryLimit = 400 << 20
	memoryOrg   = 42
	atOnce      = 8
	rounds      = 2
)

// The binary as it is shipped, built here: a test binary, or one with the race
// detector, has another size. Its engine is not its child, so that the high
// water mark is the server's alone.
func TestServerMemoryStaysUnder400MiB(t *testing.T) {
	binary := filepath.Join(storetest.Programs(t), "leadevents")
	// Each shape has a server of its own, so that none hides behind another.
	for _, shape := range []struct {
		name     string
		encoding string
		// body makes number n of all; no two hold the same key.
		body func(n int) []byte
		// rows is how many it inserts.
		rows, status int
	}{
		{"many events", "", manyRows(128), leadevents.MaxEvents, http.StatusOK},
		{"large metadata", "", fewRows(1_267), 1_267, http.StatusOK},
		{"gathered", "", fewRows(1_000), 1_000, http.StatusOK}, // still a small call
		{"late events", "", late(manyRows(128)), leadevents.MaxEvents, http.StatusOK},
		{"compressed", "gzip", manyRows(128), leadevents.MaxEvents, http.StatusOK},
		{"all rejected", "", allRejected, 0, http.StatusOK},
		{"many fields", "", manyFields, 0, http.StatusBadRequest},
	} {
		t.Run(shape.name, func(t *testing.T) {
			pid, url, key := serveBinary(t, binary)
			for round := range rounds {
				var sending errgroup.Group
				bodies := make([][]byte, atOnce)
				for i := range bodies {
					bodies[i] = shape.body(round*atOnce + i)
					if n := len(bodies[i]); n != ingest.MaxBodyBytes {
						t.Fatalf("the test's body has %d bytes", n)
					}
					if shape.encoding != "" {
						bodies[i] = compressed(t, bodies[i])
					}
				}
				for _, body := range bodies {
					sending.Go(func() error {
						for again := range 2 { // the second time everything is a duplicate
							if err := postLarge(t.Context(), url, key, shape.encoding, body, shape.status, shape.rows, again == 1); err != nil {
								return err
							}
						}
						return nil
					})
				}
				if err := sending.Wait(); err != nil {
					t.Fatal(err)
				}
			}
			peak := highWater(t, pid)
			t.Logf("the server's high water mark: %d MiB", peak>>20)
			if peak > memoryLimit {
				t.Errorf("the server has held %d MiB; the limit is %d", peak>>20, memoryLimit>>20)
			}
		})
	}
}

// A hundred bodies of 200 bytes each, which are 50,000 rejected rows each.
func TestServerMemoryIsBoundedForTinyBodiesOfVeryManyRows(t *testing.T) {
	pid, url, key := serveBinary(t, filepath.Join(storetest.Programs(t), "leadevents"))
	body := compressed(t, []byte(`{"organizationId":42,"eventType":"nothing","events":[1`+strings.Repeat(",1", leadevents.MaxEvents-1)+`]}`))
	if len(body) > 1024 {
		t.Fatalf("the body has %d bytes", len(body))
	}
	var sending errgroup.Group
	for range 100 {
		sending.Go(func() error { return postLarge(t.Context(), url, key, "gzip", body, http.StatusOK, 0, false) })
	}
	if err := sending.Wait(); err != nil {
		t.Fatal(err)
	}
	peak := highWater(t, pid)
	t.Logf("the server's high water mark: %d MiB", peak>>20)
	if peak > memoryLimit {
		t.Errorf("the server has held %d MiB; the limit is %d", peak>>20, memoryLimit>>20)
	}
}

// postLarge sends a body and holds the answer to its counts.
func postLarge(ctx context.Context, url, key, encoding string, body []byte, status, rows int, again bool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/v1/webhooks/lead-events", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	if encoding != "" {
		request.Header.Set("Content-Encoding", encoding)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var counts struct{ Inserted, Duplicates int }
	if err := json.Unmarshal(text, &counts); err != nil {
		return err
	}
	inserted, duplicates := rows, 0
	if again {
		inserted, duplicates = 0, rows
	}
	if response.StatusCode != status || counts.Inserted != inserted || counts.Duplicates != duplicates {
		return fmt.Errorf("%d %.300s; want %d, %d inserted, %d duplicates", response.StatusCode, text, status, inserted, duplicates)
	}
	return nil
}

// serveBinary runs `serve` on stores of the test's own until its end; environment is
// added to the settings.
func serveBinary(t *testing.T, binary string, environment ...string) (pid int, url, key string) {
	t.Helper()
	database, redis := storetest.ClickHouse(t), storetest.Redis(t)
	prefix := strings.TrimSuffix(redis.Prefix, ":")
	prefix = prefix[max(0, len(prefix)-32):] // as long as the setting may be; its end is unique
	settings := map[string]string{
		"listen": "127.0.0.1:0", "clickhouse.addrs": database.Native, "clickhouse.database": database.Database,
		"clickhouse.user": database.User, "clickhouse.password": database.Password,
		"redis.addr": redis.Addr, "redis.password": redis.Password, "redis.key_prefix": prefix,
		"log.format": "json",
	}
	loaded, err := configs.Load(configs.Options{Flags: settings})
	if err != nil {
		t.Fatal(err)
	}
	quiet, err := app.NewLogger(configs.Log{Level: "error", Format: "json"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Migrate(t.Context(), loaded.Settings, quiet); err != nil {
		t.Fatal(err)
	}
	credentials, err := app.OpenCredentials(loaded.Settings, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = credentials.Close() }()
	org, err := credentials.CreateOrganization(t.Context(), "memory", leadevents.OrgID(memoryOrg))
	if err != nil {
		t.Fatal(err)
	}

	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve")
	cmd.Env = environment
	for name, value := range settings {
		cmd.Env = append(cmd.Env, "LEADEVENTS_"+strings.ToUpper(strings.ReplaceAll(name, ".", "_"))+"="+value)
	}
	cmd.Stderr = file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			t.Errorf("serve did not stop: %v", <-ended)
		}
		_ = file.Close()
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Error(err)
		}
		_, _ = storetest.Output("the log of serve in " + t.Name()).Write(text)
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var entry struct{ Msg, URL string }
			if json.Unmarshal(line, &entry) == nil && entry.Msg == "ready" {
				return cmd.Process.Pid, entry.URL, org.FirstKey.Key.Reveal()
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("serve is not ready within a minute:\n%s", text)
		}
	}
}

// highWater is the most memory that a process was ever seen to have in RAM, in
// bytes: VmHWM of proc(5).
func highWater(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatalf("no VmHWM in\n%s", text)
	return 0
}

func bodyHead(b []byte) []byte {
	return fmt.Appendf(b, `{"organizationId":%d,"eventType":"memory","events":[`, memoryOrg)
}

// bodyTail closes a body and fills it with white space.
func bodyTail(b []byte) []byte {
	b = append(b, "]}"...)
	return append(b, bytes.Repeat([]byte(" "), ingest.MaxBodyBytes-len(b))...)
}

// startedAt is one time for all bodies, so that a body is the same when made again.
var startedAt = time.Now().UTC().Add(-time.Hour).Truncate(time.Hour)

// manyRows is bodies of 50,000 events with metadata of the given bytes.
func manyRows(metadata int) func(n int) []byte {
	return func(n int) []byte {
		b := bodyHead(make([]byte, 0, ingest.MaxBodyBytes))
		for i := range leadevents.MaxEvents {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `{"phoneE164":"+1555%07d","occurredAt":"%s","metadata":{"orderId":"%0*x"}}`,
				n*leadevents.MaxEvents+i, startedAt.Add(time.Duration(i)*time.Millisecond).Format(leadevents.TimeFormat), metadata-len(`{"orderId":""}`), i*2654435761)
		}
		return bodyTail(b)
	}
}

// late is the bodies with events of years ago, which ClickHouse is asked for.
func late(body func(n int) []byte) func(n int) []byte {
	return func(n int) []byte {
		return bytes.ReplaceAll(body(n), []byte(startedAt.Format("2006-01-02T")), []byte("2019-07-01T"))
	}
}

// fewRows is bodies of so many events with metadata of 8,192 bytes.
func fewRows(rows int) func(n int) []byte {
	return func(n int) []byte {
		b := bodyHead(make([]byte, 0, ingest.MaxBodyBytes))
		for i := range rows {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `{"phoneE164":"+1555%07d","occurredAt":"%s","metadata":{"note":"%0*x"}}`,
				n*leadevents.MaxEvents+i, startedAt.Format(leadevents.TimeFormat), ingest.MaxMetadataBytes-len(`{"note":""}`), i*2654435761)
		}
		return bodyTail(b)
	}
}

// allRejected is a body of 50,000 rows with phones that are none, and long.
func allRejected(int) []byte {
	b := bodyHead(make([]byte, 0, ingest.MaxBodyBytes))
	for i := range leadevents.MaxEvents {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"phoneE164":"%0190x"}`, i)
	}
	return bodyTail(b)
}

// manyFields is a body of a million top-level fields, none of them ours.
func manyFields(int) []byte {
	b := append(make([]byte, 0, ingest.MaxBodyBytes), '{')
	for i := 0; len(b) < ingest.MaxBodyBytes-32; i++ {
		b = fmt.Appendf(b, `"%x":1,`, i)
	}
	b = append(b, `"last":1}`...)
	return append(b, bytes.Repeat([]byte(" "), ingest.MaxBodyBytes-len(b))...)
}

func compressed(t *testing.T, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
