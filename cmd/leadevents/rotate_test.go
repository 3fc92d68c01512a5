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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"leadevents/auth"
	"leadevents/internal/storetest"
)

// fleet is two `leadevents serve` processes on the same stores, restarted one after
// the other, and clients that sign and never pause.
type fleet struct {
	t       *testing.T
	stores  []string // environment
	keys    []string // environment: the master keys of the moment
	servers [2]*served

	secret  atomic.Pointer[string] // which the clients sign with
	sent    atomic.Int64
	judged  [2]atomic.Int64 // signed requests answered 200, by server
	retried atomic.Int64    // sent again: the connection was refused, or a 503 of a store
	end     func()
}

type served struct {
	cmd   *exec.Cmd
	ended chan error
	url   atomic.Pointer[string] // nil while it is not to be asked
}

func newFleet(t *testing.T, master string) *fleet {
	database, redis := storetest.ClickHouse(t), storetest.Redis(t)
	prefix := strings.TrimSuffix(redis.Prefix, ":")
	prefix = prefix[max(0, len(prefix)-32):] // no longer than the setting may be; its number is at the end
	f := &fleet{t: t, stores: []string{
		"LEADEVENTS_CLICKHOUSE_ADDRS=" + database.Native, "LEADEVENTS_CLICKHOUSE_DATABASE=" + database.Database,
		"LEADEVENTS_CLICKHOUSE_USER=" + database.User, "LEADEVENTS_CLICKHOUSE_PASSWORD=" + database.Password,
		"LEADEVENTS_REDIS_ADDR=" + redis.Addr, "LEADEVENTS_REDIS_PASSWORD=" + redis.Password,
		"LEADEVENTS_REDIS_KEY_PREFIX=" + prefix,
		"LEADEVENTS_LISTEN=127.0.0.1:0", "LEADEVENTS_LOG_FORMAT=json",
	}, keys: []string{"LEADEVENTS_MASTER_KEY=" + master}}
	f.leadevents("migrate")
	for i := range f.servers {
		f.servers[i] = &served{}
		f.serve(i)
		t.Cleanup(func() { f.halt(i) })
	}
	return f
}

// leadevents runs a command with the settings of the moment.
func (f *fleet) leadevents(args ...string) string {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), filepath.Join(storetest.Programs(f.t), "leadevents"), args...)
	cmd.Env = slices.Concat(f.stores, f.keys)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	_, _ = storetest.Output("what commands say in " + f.t.Name()).Write(problems.Bytes())
	if args[0] == "check" || args[0] == "rotate-master-key" {
		_, _ = storetest.Output("what commands print in " + f.t.Name()).Write(out)
	}
	if err != nil {
		f.t.Fatalf("%v: %v\n%s%s", args, err, out, &problems)
	}
	return strings.TrimSpace(string(out))
}

func (f *fleet) serve(i int) {
	f.t.Helper()
	s := f.servers[i]
	log, err := os.Create(filepath.Join(f.t.TempDir(), "log"))
	if err != nil {
		f.t.Fatal(err)
	}
	s.cmd = exec.Command(filepath.Join(storetest.Programs(f.t), "leadevents"), "serve")
	s.cmd.Env = slices.Concat(f.stores, f.keys)
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	s.ended = make(chan error, 1)
	go func() {
		err := errors.Join(s.cmd.Wait(), log.Close())
		text, read := os.ReadFile(log.Name())
		_, _ = storetest.Output("the log of serve in " + f.t.Name()).Write(text)
		s.ended <- errors.Join(err, read)
	}()
	for deadline := time.Now().Add(time.Minute); s.url.Load() == nil; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(log.Name())
		if err != nil || time.Now().After(deadline) {
			f.t.Fatalf("serve is not ready: %v\n%s", err, text)
		}
		for line := range bytes.Lines(text) {
			var entry struct{ Msg, URL string }
			if json.Unmarshal(line, &entry) == nil && entry.Msg == "ready" {
				s.url.Store(&entry.URL)
			}
		}
	}
}

func (f *fleet) halt(i int) {
	f.t.Helper()
	s := f.servers[i]
	if s.url.Swap(nil) == nil {
		return
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		f.t.Errorf("stop serve: %v", err)
	}
	select {
	case err := <-s.ended:
		if err != nil {
			f.t.Errorf("serve: %v", err)
		}
	case <-time.After(time.Minute):
		_ = s.cmd.Process.Kill()
		f.t.Errorf("serve did not stop: %v", <-s.ended)
	}
}

// restart gives every server other master keys, one after the other; between is called
// when the first has them and the second has not.
func (f *fleet) restart(keys []string, between func()) {
	f.t.Helper()
	f.keys = keys
	for i := range f.servers {
		f.halt(i)
		f.serve(i)
		f.more(3)
		if i == 0 {
			between()
		}
	}
}

// signed is one signed event, sent to one server.
func (f *fleet) signed(ctx context.Context, url, secret string) (status int, answer string, err error) {
	occurred := time.Date(2026, 5, 12, 0, 0, 0, int(f.sent.Add(1))*1e6, time.UTC).Format(time.RFC3339Nano)
	body := fmt.Appendf(nil, `{"organizationId":7,"eventType":"rotated","events":[{"phoneE164":"+15551234567","occurredAt":%q}]}`, occurred)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/v1/webhooks/lead-events", bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set(auth.SignatureHeader, auth.Sign(auth.NewSecret(secret), body))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// load begins the clients. A refused connection and a 503 of a store are sent again, as
// the contract has it; a signature that is refused, or cannot be checked, fails the
// test.
func (f *fleet) load() {
	ctx, cancel := context.WithCancel(f.t.Context())
	var all sync.WaitGroup
	for client := range 4 {
		all.Go(func() {
			for n := client; ctx.Err() == nil; n++ {
				i := n % len(f.servers)
				url := f.servers[i].url.Load()
				if url == nil {
					continue
				}
				status, answer, err := f.signed(f.t.Context(), *url, *f.secret.Load())
				switch {
				case err == nil && status == http.StatusOK:
					f.judged[i].Add(1)
				case err != nil, status == http.StatusServiceUnavailable && !strings.Contains(answer, "signature"):
					f.retried.Add(1)
				default:
					f.t.Errorf("a signed request: %d %s", status, answer)
					return
				}
			}
		})
	}
	f.end = sync.OnceFunc(func() { cancel(); all.Wait() })
	f.t.Cleanup(f.end)
}

// more waits until each server that runs has answered n more.
func (f *fleet) more(n int64) {
	f.t.Helper()
	if f.end == nil {
		return
	}
	for i := range f.servers {
		now := f.judged[i].Load()
		for deadline := time.Now().Add(time.Minute); f.judged[i].Load() < now+n; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) || f.t.Failed() {
				f.t.Fatalf("server %d answers no signed requests", i)
			}
		}
	}
}

// accepted sends one signed request to every server.
func (f *fleet) accepted(secret string) {
	f.t.Helper()
	for i, s := range f.servers {
		for {
			status, answer, err := f.signed(f.t.Context(), *s.url.Load(), secret)
			if status == http.StatusOK {
				break
			}
			if err != nil || status != http.StatusServiceUnavailable || strings.Contains(answer, "signature") {
				f.t.Fatalf("server %d: %d %s (%v)", i, status, answer, err)
			}
		}
	}
}

// The README's steps with two servers under load: no signed request is refused, and
// what is made at any moment works in both.
func TestTheMasterKeyIsRotatedUnderLoad(t *testing.T) {
	first, next := auth.NewMasterKey().Reveal(), auth.NewMasterKey().Reveal()
	storetest.Secret("a master key", first, next)
	f := newFleet(t, first)
	f.leadevents("org", "create", "Acme", "--id", "7")
	secret := f.leadevents("signing-key", "create", "7", "first")
	f.secret.Store(&secret)
	f.leadevents("org", "set-auth", "7", "hmac")
	f.accepted(secret)
	f.load()
	made := func(name string) func() {
		return func() {
			t.Helper()
			f.accepted(f.leadevents("signing-key", "create", "7", name))
		}
	}

	// 1. Every server reads what is under the next key.
	f.restart([]string{"LEADEVENTS_MASTER_KEY=" + first, "LEADEVENTS_NEXT_MASTER_KEY=" + next}, func() {})
	// 2. Every server writes under it. Between the two, the one that has not got it yet
	// reads what the other has made.
	f.restart([]string{"LEADEVENTS_MASTER_KEY=" + next, "LEADEVENTS_OLD_MASTER_KEY=" + first}, made("between"))
	// 3. What is stored is encrypted anew.
	if out := f.leadevents("rotate-master-key", "--dry-run", "--json"); !strings.Contains(out, `"remaining": 1`) {
		t.Errorf("before: %s", out)
	}
	if out := f.leadevents("rotate-master-key", "--json"); !strings.Contains(out, `"reencrypted": 1`) || !strings.Contains(out, `"remaining": 0`) {
		t.Errorf("the rotation: %s", out)
	}
	made("after")()
	if out := f.leadevents("check"); !strings.Contains(out, "all 3 signing secrets are under master_key: old_master_key is not needed any more") {
		t.Errorf("check: %s", out)
	}
	f.more(3)
	// 4. The old one goes.
	f.restart([]string{"LEADEVENTS_MASTER_KEY=" + next}, made("last"))
	f.accepted(secret)
	f.end()
	t.Logf("%d and %d signed requests were accepted, %d sent again", f.judged[0].Load(), f.judged[1].Load(), f.retried.Load())
}

// dev changes its own key at a start, and finds its way after a crash in the middle.
func TestDevRotatesItsMasterKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d := startDev(t, dir)
	command := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(storetest.Programs(t), "leadevents"), append(args, "--data-dir", dir)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	command("org", "create", "Acme", "--id", "7")
	secret := command("signing-key", "create", "7", "crm")
	command("org", "set-auth", "7", "hmac")
	f := &fleet{t: t}
	accepted := func(secret string) {
		t.Helper()
		d.eventually("the signature is accepted", func() bool {
			status, answer, err := f.signed(t.Context(), d.now().URL, secret)
			if err != nil || status == http.StatusUnauthorized || strings.Contains(answer, "decrypted") {
				t.Fatalf("%d %s (%v)", status, answer, err)
			}
			return status == http.StatusOK
		})
	}
	accepted(secret)
	path, old := filepath.Join(dir, "master-key"), filepath.Join(dir, "master-key.old")
	kept := func(path string) string { text, _ := os.ReadFile(path); return string(text) }
	before := kept(path)
	d.stop()

	d = startDevWith(t, dir, []string{"--rotate-master-key"})
	now := kept(path)
	if now == before || now == "" || kept(old) != "" {
		t.Errorf("the key was not changed, or the old one is left behind")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the new key's file: %v", err)
	}
	accepted(secret)
	accepted(command("signing-key", "create", "7", "next"))
	d.stop()

	// As a crash leaves it: the new key is there, and nothing is under it.
	if err := errors.Join(os.WriteFile(old, []byte(now), 0o600), os.WriteFile(path, []byte(auth.NewMasterKey().Reveal()+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	d = startDev(t, dir)
	if kept(old) != "" {
		t.Error("the rotation that was interrupted was not ended")
	}
	accepted(secret)
	if out := command("check"); !strings.Contains(out, "all 2 signing secrets can be decrypted") {
		t.Errorf("check: %s", out)
	}
	d.stop()
}
