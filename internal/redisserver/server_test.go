package redisserver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"leadevents/internal/child"
	"leadevents/internal/redisserver"
)

// parentVariable makes this test binary a parent that starts a server on the
// folder it names, tells its pid and waits to be killed.
const parentVariable = "REDISSERVER_TEST_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" {
		server, err := redisserver.Start(context.Background(), redisserver.Config{DataDir: dir})
		if err != nil {
			panic(err)
		}
		fmt.Println(server.Endpoint().PID)
		select {}
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, cfg redisserver.Config) *redisserver.Server {
	t.Helper()
	server, err := redisserver.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	return server
}

func stop(t *testing.T, server *redisserver.Server) {
	t.Helper()
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, e redisserver.Endpoint) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: e.Addr, Password: e.Password})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func set(t *testing.T, client *redis.Client, keys int) {
	t.Helper()
	for i := range keys {
		if err := client.Set(t.Context(), "key"+strconv.Itoa(i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func size(t *testing.T, client *redis.Client) int64 {
	t.Helper()
	n, err := client.DBSize(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.HasPrefix(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " Z")
}

func TestDataPortAndPasswordStayOverARestart(t *testing.T) {
	// A folder as users have them: quotes, spaces and letters beyond ASCII.
	dir := filepath.Join(t.TempDir(), `Jürgen's "data" \ 1`)
	first := start(t, redisserver.Config{DataDir: dir})
	before := first.Endpoint()
	set(t, connect(t, before), 100)
	stop(t, first)
	if !gone(before.PID) {
		t.Errorf("the server %d runs after Stop", before.PID)
	}
	after := start(t, redisserver.Config{DataDir: dir}).Endpoint()
	if n := size(t, connect(t, after)); n != 100 {
		t.Errorf("%d keys after the restart, want 100: Stop writes out the last second", n)
	}
	before.PID, after.PID = 0, 0
	if before != after {
		t.Errorf("the endpoint changed from %+v to %+v", before, after)
	}
}

func TestTheServerIsSetUpForTheLedger(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "redis")
	server := start(t, redisserver.Config{DataDir: dir, MaxMemoryBytes: 64 << 20})
	client := connect(t, server.Endpoint())
	for name, want := range map[string]string{
		"appendonly": "yes", "appendfsync": "everysec", "save": "", "aof-load-truncated": "yes",
		"maxmemory": "67108864", "maxmemory-policy": "noeviction", "bind": "127.0.0.1",
		"lazyfree-lazy-expire": "yes", "lazyfree-lazy-user-flush": "yes", "lazyfree-lazy-user-del": "yes",
		"hash-max-listpack-entries": "128", "hash-max-listpack-value": "64",
	} {
		if got, err := client.ConfigGet(t.Context(), name).Result(); err != nil || got[name] != want {
			t.Errorf("%s is %q (%v), want %q", name, got[name], err, want)
		}
	}
	stranger := redis.NewClient(&redis.Options{Addr: server.Endpoint().Addr})
	defer func() { _ = stranger.Close() }()
	if err := stranger.Ping(t.Context()).Err(); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without the password: %v", err)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", server.Endpoint().PID))
	if err != nil || strings.Contains(string(line), server.Endpoint().Password) {
		t.Errorf("the command line %q shows the password (%v)", line, err)
	}
	for name, want := range map[string]os.FileMode{"": 0o700 | os.ModeDir, "data": 0o700 | os.ModeDir, "password": 0o600, "redis.conf": 0o600, "redis.log": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%q has mode %v (%v), want %v", name, info.Mode(), err, want)
		}
	}
}

func TestAKilledServerComesBackWithItsData(t *testing.T) {
	heard := make(chan redisserver.Endpoint, 8)
	server := start(t, redisserver.Config{DataDir: t.TempDir(), OnChange: func(e redisserver.Endpoint) { heard <- e }})
	before := <-heard
	if before != server.Endpoint() {
		t.Errorf("OnChange heard %+v, Endpoint says %+v", before, server.Endpoint())
	}
	client := connect(t, before)
	set(t, client, 100)
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := <-heard
	if after.PID == before.PID || after.Addr != before.Addr {
		t.Errorf("the endpoint went from %+v to %+v: want another pid, the same port", before, after)
	}
	// Written to the file before each answer, so only a power cut loses it.
	if n := size(t, client); n != 100 {
		t.Errorf("%d keys after the kill, want 100", n)
	}
}

// tail is the newest incremental part of the append-only file.
func tail(t *testing.T, dir string) string {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(dir, "data", "appendonlydir", "*.incr.aof"))
	if err != nil || len(parts) != 1 {
		t.Fatalf("parts %v, %v", parts, err)
	}
	return parts[0]
}

func TestATornTailIsCutOff(t *testing.T) {
	dir := t.TempDir()
	first := start(t, redisserver.Config{DataDir: dir})
	set(t, connect(t, first.Endpoint()), 100)
	stop(t, first)
	info, err := os.Stat(tail(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(tail(t, dir), info.Size()-3); err != nil {
		t.Fatal(err)
	}
	if n := size(t, connect(t, start(t, redisserver.Config{DataDir: dir}).Endpoint())); n != 99 {
		t.Errorf("%d keys, want all but the torn one: 99", n)
	}
}

func TestADamagedFileIsAnErrorThatSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	first := start(t, redisserver.Config{DataDir: dir})
	set(t, connect(t, first.Endpoint()), 100)
	stop(t, first)
	file, err := os.OpenFile(tail(t, dir), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt([]byte("garbage"), 200)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = redisserver.Start(t.Context(), redisserver.Config{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "redis-check-aof --fix") {
		t.Errorf("got %v", err)
	}
}

func TestAPortTakenMeanwhileIsReplaced(t *testing.T) {
	dir := t.TempDir()
	first := start(t, redisserver.Config{DataDir: dir})
	before := first.Endpoint()
	stop(t, first)
	taken, err := net.Listen("tcp", before.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	if after := start(t, redisserver.Config{DataDir: dir}).Endpoint(); after.Addr == before.Addr {
		t.Errorf("the server claims %s, which is ours", after.Addr)
	}
}

func TestASecondServerOnTheFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, redisserver.Config{DataDir: dir})
	_, err := redisserver.Start(t.Context(), redisserver.Config{DataDir: dir})
	if held, ok := errors.AsType[*child.HeldError](err); !ok || held.PID != os.Getpid() {
		t.Fatalf("got %v, want an error that names our pid", err)
	}
}

func TestAServerEndsWithItsKilledParent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "redis")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanln(out, &pid); err != nil {
		t.Fatalf("the parent did not come up: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	server := start(t, redisserver.Config{DataDir: dir})
	if !gone(pid) {
		t.Errorf("the server %d of the killed parent runs beside %d", pid, server.Endpoint().PID)
	}
}

// script makes an executable that prints a version.
func script(t *testing.T, version string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "redis-server")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+version+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnUnusableServerIsAnErrorThatSaysWhatToDo(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  redisserver.Config
		want string
	}{
		{"not installed", redisserver.Config{Binary: "/nowhere/redis-server"}, "apt-get install redis-server"},
		{"too old", redisserver.Config{Binary: script(t, "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=1")}, "is version 6.0.16, at least 7.0 is needed"},
		{"something else", redisserver.Config{Binary: script(t, "hello")}, `is no redis-server: its version reads "hello"`},
		{"a full disk", redisserver.Config{MinFreeBytes: 1 << 60}, "free some space"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.cfg.DataDir = t.TempDir()
			if _, err := redisserver.Start(t.Context(), test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
	t.Run("not in PATH", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := redisserver.Start(t.Context(), redisserver.Config{DataDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "apt-get install redis-server") {
			t.Errorf("got %v", err)
		}
	})
}

func TestASlowLoadIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	first := start(t, redisserver.Config{DataDir: dir})
	// 200,000 keys in one command load for some tens of milliseconds, in which
	// the server answers -LOADING.
	if err := connect(t, first.Endpoint()).Eval(t.Context(), "for i = 1, 200000 do redis.call('SET', 'k' .. i, i) end return 1", nil).Err(); err != nil {
		t.Fatal(err)
	}
	stop(t, first)
	server := start(t, redisserver.Config{DataDir: dir})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if n, err := connect(t, server.Endpoint()).DBSize(ctx).Result(); err != nil || n != 200000 {
		t.Errorf("a ready server has %d keys (%v), want 200000", n, err)
	}
}
