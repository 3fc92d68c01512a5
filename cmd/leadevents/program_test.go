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
	"strings"
	"syscall"
	"testing"
	"time"

	"leadevents/clickhouse/embedded"
	"leadevents/internal/storetest"
)

// The tests of the whole program: the binary as users build it, as a process.

// devProcess is a running `leadevents dev`.
type devProcess struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	stdout *bytes.Buffer
	ended  chan struct{}
	err    error // of Wait, after ended
}

// devJSON is dev.json, as API.md 7 has it.
type devJSON struct {
	URL            string
	OrganizationID int
	APIKey         string
	OperatorToken  string
	ClickHouse     struct {
		Native, HTTP, Database, User, Password string
		PID                                    int
	}
	Redis struct {
		Addr, Password string
		PID            int
	}
	PID int
}

// startDev starts `dev` on a folder and waits until it is ready.
func startDev(t *testing.T, dir string, environment ...string) *devProcess {
	t.Helper()
	return startDevWith(t, dir, nil, environment...)
}

// startDevWith is startDev with more flags.
func startDevWith(t *testing.T, dir string, flags []string, environment ...string) *devProcess {
	t.Helper()
	library, err := embedded.FindLibrary("")
	if err != nil {
		t.Fatal(err)
	}
	d := &devProcess{t: t, dir: dir, stdout: &bytes.Buffer{}, ended: make(chan struct{})}
	d.cmd = exec.Command(filepath.Join(storetest.Programs(t), "leadevents"), append([]string{"dev", "--data-dir", dir, "--listen", "127.0.0.1:0"}, flags...)...)
	d.cmd.Env = append(append(os.Environ(), embedded.LibraryVariable+"="+library), environment...)
	log, err := os.OpenFile(dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stdout, d.cmd.Stderr = d.stdout, log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.err = d.cmd.Wait()
		_ = log.Close()
		close(d.ended)
	}()
	t.Cleanup(func() {
		d.signal(syscall.SIGTERM)
		select {
		case <-d.ended:
		case <-time.After(time.Minute):
			d.signal(syscall.SIGKILL)
			<-d.ended
			t.Error("dev does not end within a minute")
		}
		text, err := os.ReadFile(dir + ".log")
		if err != nil {
			t.Error(err)
		}
		_, _ = storetest.Output("the log of dev in " + t.Name()).Write(text)
		if t.Failed() {
			t.Logf("the log of dev ends with:\n%s", text[max(0, len(text)-4000):])
		}
	})
	d.eventually("ready", func() bool {
		select {
		case <-d.ended:
			text, _ := os.ReadFile(dir + ".log")
			t.Fatalf("dev ended: %v\n%s", d.err, text[max(0, len(text)-2000):])
		default:
		}
		now, err := d.read()
		return err == nil && now.PID == d.cmd.Process.Pid
	})
	return d
}

func (d *devProcess) signal(s syscall.Signal) {
	select {
	case <-d.ended:
	default:
		_ = d.cmd.Process.Signal(s)
	}
}

// stop ends it as Ctrl-C does; it must end well and within a minute.
func (d *devProcess) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(time.Minute):
		d.t.Fatal("dev does not end within a minute of SIGTERM")
	}
	if d.err != nil {
		d.t.Fatalf("dev ended with %v", d.err)
	}
}

func (d *devProcess) read() (devJSON, error) {
	var now devJSON
	text, err := os.ReadFile(filepath.Join(d.dir, "dev.json"))
	if err != nil {
		return now, err
	}
	if err := json.Unmarshal(text, &now); err != nil {
		return now, err
	}
	storetest.Secret("the operator token of dev.json", now.OperatorToken)
	storetest.Secret("a password of dev.json", now.ClickHouse.Password, now.Redis.Password)
	if key, err := os.ReadFile(filepath.Join(d.dir, "master-key")); err == nil {
		storetest.Secret("dev's master key", strings.TrimSpace(string(key)))
	}
	return now, nil
}

// now is dev.json.
func (d *devProcess) now() devJSON {
	d.t.Helper()
	now, err := d.read()
	if err != nil {
		d.t.Fatal(err)
	}
	return now
}

func (d *devProcess) eventually(what string, holds func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("not within two minutes: %s", what)
		}
	}
}

// counts are the numbers of an answer.
type counts struct{ Received, Inserted, Duplicates, Rejected int }

// errUnanswered is whatever is not a 200.
var errUnanswered = errors.New("not answered")

func (d *devProcess) send(ctx context.Context, body string) (counts, error) {
	now, err := d.read()
	if err != nil {
		return counts{}, errors.Join(errUnanswered, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, now.URL+"/api/v1/webhooks/lead-events", strings.NewReader(body))
	if err != nil {
		return counts{}, err
	}
	request.Header.Set("Authorization", "Bearer "+now.APIKey)
	client := http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		return counts{}, errors.Join(errUnanswered, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return counts{}, errors.Join(errUnanswered, err)
	}
	var c counts
	switch {
	case response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != "":
		return c, fmt.Errorf("%w: %s", errUnanswered, text)
	case response.StatusCode != http.StatusOK:
		return c, fmt.Errorf("%d %s", response.StatusCode, text)
	}
	return c, json.Unmarshal(text, &c)
}

// query asks the engine over HTTP, as a script would.
func (d *devProcess) query(sql string) string {
	d.t.Helper()
	now := d.now()
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, "http://"+now.ClickHouse.HTTP+"/?database="+now.ClickHouse.Database, strings.NewReader(sql))
	if err != nil {
		d.t.Fatal(err)
	}
	request.Header.Set("X-ClickHouse-User", now.ClickHouse.User)
	request.Header.Set("X-ClickHouse-Key", now.ClickHouse.Password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %d %s %v", sql, response.StatusCode, text, err)
	}
	return strings.TrimSpace(string(text))
}

// alive says whether a process exists that is not a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return state != "" && state[0] != 'Z'
}
