package embedded_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"leadevents/clickhouse/embedded"
	"leadevents/internal/child"
)

func TestDataPortsAndPasswordStayOverARestart(t *testing.T) {
	dir := t.TempDir()
	first := start(t, config(dir))
	before := first.Endpoint()
	fill(t, connect(t, before))
	stop(t, first)
	if !gone(before.PID) {
		t.Errorf("the engine %d runs after Stop", before.PID)
	}
	after := start(t, config(dir)).Endpoint()
	if n := count(t, connect(t, after)); n != 1000 {
		t.Errorf("%d rows after the restart, want 1000", n)
	}
	before.PID, after.PID = 0, 0
	if after != before {
		t.Errorf("the endpoint changed from %+v to %+v", before, after)
	}
}

func TestTheFilesAreForTheirOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "engine")
	start(t, config(dir))
	for name, want := range map[string]os.FileMode{"": 0o700 | os.ModeDir, "password": 0o600, "users.xml": 0o600, "config.xml": 0o600, "engine.log": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%q has mode %v (%v), want %v", name, info.Mode(), err, want)
		}
	}
}

func TestAKilledEngineComesBackWithItsData(t *testing.T) {
	cfg := config(t.TempDir())
	heard := make(chan embedded.Endpoint, 8)
	cfg.OnChange = func(e embedded.Endpoint) { heard <- e }
	server := start(t, cfg)
	before := <-heard
	if before != server.Endpoint() {
		t.Errorf("OnChange heard %+v, Endpoint says %+v", before, server.Endpoint())
	}
	conn := connect(t, before)
	fill(t, conn)
	spill := filepath.Join(cfg.DataDir, "data", "tmp", "spilled")
	if err := os.WriteFile(spill, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := <-heard
	if after.PID == before.PID || after.Native != before.Native || after.HTTP != before.HTTP {
		t.Errorf("the endpoint went from %+v to %+v: want another pid, the same ports", before, after)
	}
	if n := count(t, conn); n != 1000 {
		t.Errorf("%d rows after the crash, want 1000", n)
	}
	if _, err := os.Stat(spill); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a query had spilled is still there (%v)", err)
	}
}

func TestAMalformedClientCostsARestartOnly(t *testing.T) {
	cfg := config(t.TempDir())
	heard := make(chan embedded.Endpoint, 8)
	cfg.OnChange = func(e embedded.Endpoint) { heard <- e }
	start(t, cfg)
	before := <-heard
	fill(t, connect(t, before))
	conn, err := net.Dial("tcp", before.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "POST / HT") // half a header, then the end
	_ = conn.Close()
	after := <-heard
	if n := count(t, connect(t, after)); n != 1000 {
		t.Errorf("%d rows, want 1000", n)
	}
}

func TestAPortTakenMeanwhileIsReplaced(t *testing.T) {
	t.Run("between two runs", func(t *testing.T) {
		dir := t.TempDir()
		first := start(t, config(dir))
		before := first.Endpoint()
		stop(t, first)
		taken, err := net.Listen("tcp", before.Native)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = taken.Close() }()
		after := start(t, config(dir)).Endpoint()
		if after.Native == before.Native || after.HTTP != before.HTTP {
			t.Errorf("the endpoint went from %+v to %+v: want another native port only", before, after)
		}
	})
	t.Run("while the engine restarts", func(t *testing.T) {
		cfg := config(t.TempDir())
		heard := make(chan embedded.Endpoint, 8)
		cfg.OnChange = func(e embedded.Endpoint) { heard <- e }
		start(t, cfg)
		before := <-heard
		// Between a death and the restart the port is free for a moment. On a
		// busy machine it may pass unseen: then once more.
		var after embedded.Endpoint
		var taken net.Listener
		for pid := before.PID; taken == nil; pid = after.PID {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			for up := false; !up; {
				if taken == nil {
					taken, _ = net.Listen("tcp", before.HTTP)
				}
				select {
				case after = <-heard:
					up = true
				case <-time.After(time.Millisecond):
				}
			}
		}
		defer func() { _ = taken.Close() }()
		if after.HTTP == before.HTTP {
			t.Errorf("the engine claims the port %s, which is ours", after.HTTP)
		}
		if err := connect(t, after).Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestASecondEngineOnTheFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, config(dir))
	_, err := embedded.Start(t.Context(), config(dir))
	if held, ok := errors.AsType[*child.HeldError](err); !ok || held.PID != os.Getpid() || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Fatalf("got %v, want an error that names our pid", err)
	}
}

func TestAnEngineEndsWithItsKilledParent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "engine")
	cmd, pid := parent(t, dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// At once, while the old engine may still be stopping: Start waits for it.
	server := start(t, config(dir))
	if !gone(pid) {
		t.Errorf("the engine %d of the killed parent runs beside %d", pid, server.Endpoint().PID)
	}
	if err := connect(t, server.Endpoint()).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTooLittleDiskIsRefused(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.MinFreeBytes = 1 << 60
	if _, err := embedded.Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "free some space") {
		t.Fatalf("got %v", err)
	}
	cfg.MinFreeBytes = 0
	start(t, cfg) // the failure left no lock behind
}
