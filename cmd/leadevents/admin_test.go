package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"leadevents/auth"
	"leadevents/clickhouse/embedded"
	"leadevents/internal/storetest"
)

// administrationCommands are what scripts of administration can do besides.
var administrationCommands = map[string]func(*testscript.TestScript, bool, []string){
	"exits": exits, "keep": keep, "await": await, "answers": answers,
}

// Each script of administration has a real ClickHouse database of its own, named
// by the environment, without tables.
func TestAdministrationScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/administration/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txt"), func(t *testing.T) {
			store := storetest.ClickHouse(t)
			master := strings.Repeat("0f", auth.MasterKeySize)
			storetest.Secret("the master key of scripts", master)
			dir := t.TempDir()
			t.Cleanup(func() { said(t, dir) }) // scripts run when this function has returned
			testscript.Run(t, testscript.Params{
				Files:               []string{script},
				RequireExplicitExec: true,
				Cmds:                administrationCommands,
				Setup: func(env *testscript.Env) error {
					env.Setenv("LEADEVENTS_CLICKHOUSE_ADDRS", store.Native)
					env.Setenv("LEADEVENTS_CLICKHOUSE_DATABASE", store.Database)
					env.Setenv("LEADEVENTS_CLICKHOUSE_USER", store.User)
					env.Setenv("LEADEVENTS_CLICKHOUSE_PASSWORD", store.Password)
					env.Setenv("LEADEVENTS_MASTER_KEY", master)
					env.Setenv(saidVariable, dir)
					return nil
				},
			})
		})
	}
}

// What a new user does: administration beside a running dev. The keys that the
// commands make and revoke must count in the server within the promised 2 s.
func TestAdministrationOfARunningDev(t *testing.T) {
	library, err := embedded.FindLibrary("")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/dev",
		RequireExplicitExec: true,
		Cmds:                administrationCommands,
		Setup: func(env *testscript.Env) error {
			env.Setenv(embedded.LibraryVariable, library) // scripts have no HOME
			return nil
		},
	})
}

// keep sets a variable to what the group of a pattern matches in the output of
// the last command: keep NAME PATTERN.
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keep NAME PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%s is not in the output, or has no group", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// await waits until a file is there: await FILE.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		_, err := os.Stat(ts.MkAbs(args[0]))
		if err == nil {
			return
		}
		if !errors.Is(err, os.ErrNotExist) || time.Now().After(deadline) {
			ts.Fatalf("wait for %s: %v", args[0], err)
		}
	}
}

// answers sends an event to the dev on a folder until it is answered by a status,
// which must come within 2 seconds: answers STATUS DIR ORG bearer|hmac CREDENTIAL.
func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 || (args[3] != "bearer" && args[3] != "hmac") {
		ts.Fatalf("usage: answers STATUS DIR ORG bearer|hmac CREDENTIAL")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	var dev struct{ URL string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(args[1], "dev.json"))), &dev))
	body := fmt.Sprintf(`{"organizationId": %s, "eventType": "signup", "events": [{"phoneE164": "+15551234567", "occurredAt": "2026-05-12T18:34:00Z"}]}`, args[2])
	name, credential := "Authorization", "Bearer "+args[4]
	if args[3] == "hmac" {
		name, credential = auth.SignatureHeader, auth.Sign(auth.NewSecret(args[4]), []byte(body))
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		asked := time.Now()
		status, text, err := post(dev.URL+"/api/v1/webhooks/lead-events", name, credential, body)
		ts.Check(err)
		if status == want {
			ts.Logf("%d after %s: %s", status, time.Since(began).Round(time.Millisecond), text)
			return
		}
		if asked.Sub(began) > 2*time.Second {
			ts.Fatalf("%d after 2 s, want %d: %s", status, want, text)
		}
	}
}

func post(url, header, credential, body string) (status int, text string, err error) {
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set(header, credential)
	client := http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

func TestParseExpiry(t *testing.T) {
	now := time.Date(2026, 5, 12, 18, 34, 0, 0, time.UTC)
	for _, c := range []struct {
		text string
		want time.Time // zero: refused
	}{
		{"2027-01-31T00:00:00Z", time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)},
		{"2027-01-31T02:00:00+02:00", time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)},
		{"90d", time.Date(2026, 8, 10, 18, 34, 0, 0, time.UTC)},
		{"12h", now.Add(12 * time.Hour)},
		{"1h30m", now.Add(90 * time.Minute)},
		{"-1h", now.Add(-time.Hour)}, // the directory refuses what is past
		{"", time.Time{}},
		{"d", time.Time{}},
		{"-1d", time.Time{}},
		{"1.5d", time.Time{}},
		{"99999999d", time.Time{}},
		{"2027-01-31", time.Time{}},
		{"2027-01-31T00:00:00", time.Time{}},
		{"2027-02-30T00:00:00Z", time.Time{}},
		{"tomorrow", time.Time{}},
	} {
		got, err := parseExpiry(c.text, now)
		if !got.Equal(c.want) || (err == nil) == c.want.IsZero() {
			t.Errorf("%q: %s, %v", c.text, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("--expires is %q", c.text)) {
			t.Errorf("%q: the error does not say what is wrong: %v", c.text, err)
		}
	}
}

// A key that could not be printed is lost: the error must say what to do.
func TestAKeyThatCannotBePrintedSaysSo(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		cmd := newKeyCreate()
		cmd.SetOut(brokenPipe{})
		a := &administration{json: asJSON}
		err := a.reveal(cmd, auth.NewSecret("le_secret"), map[string]string{"key": "le_secret"}, "revoke it with `leadevents key revoke 1 le_x`")
		if !errors.Is(err, io.ErrClosedPipe) || !strings.Contains(err.Error(), "key revoke 1 le_x") || strings.Contains(err.Error(), "le_secret") {
			t.Errorf("json %v: %v", asJSON, err)
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
