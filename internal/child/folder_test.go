package child_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leadevents/internal/child"
)

func TestOnlyALivingHolderIsAnError(t *testing.T) {
	dir := filepath.Join(open(t).Path(), "d")
	cmd, _ := helper(t, "holder", dir, "")
	_, err := child.OpenFolder(dir)
	held, ok := errors.AsType[*child.HeldError](err)
	if !ok || held.PID != cmd.Process.Pid || !strings.Contains(err.Error(), fmt.Sprint(cmd.Process.Pid)) {
		t.Fatalf("got %v, want an error that names process %d", err, cmd.Process.Pid)
	}
	kill(t, cmd)
	folder, err := child.OpenFolder(dir)
	if err != nil {
		t.Fatalf("the holder is dead, still: %v", err)
	}
	if err := folder.Close(); err != nil {
		t.Error(err)
	}
}

func TestASecondPartOfThisProcessIsRefusedToo(t *testing.T) {
	folder := open(t)
	_, err := child.OpenFolder(folder.Path())
	if held, ok := errors.AsType[*child.HeldError](err); !ok || held.PID != os.Getpid() {
		t.Fatalf("got %v, want a HeldError with our own pid", err)
	}
}

func TestAFoldersFilesAreForTheirOwnerOnly(t *testing.T) {
	folder := open(t)
	secret, err := folder.Secret("password")
	if err != nil || len(secret) < 26 {
		t.Fatalf("secret of %d characters, %v", len(secret), err)
	}
	again, err := folder.Secret("password")
	if err != nil || again != secret {
		t.Errorf("the second call made another secret (%v)", err)
	}
	if err := folder.WriteFile("conf", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"": 0o700 | os.ModeDir, "password": 0o600, "conf": 0o600, "lock": 0o600} {
		info, err := os.Stat(folder.Path(name))
		if err != nil || info.Mode() != want {
			t.Errorf("%q has mode %v (%v), want %v", name, info.Mode(), err, want)
		}
	}
	if entries, err := os.ReadDir(folder.Path()); err != nil || len(entries) != 3 {
		t.Errorf("temporary files are left: %v, %v", entries, err)
	}
}

func TestAnEmptyPasswordFileIsRefused(t *testing.T) {
	folder := open(t)
	if err := folder.WriteFile("password", nil); err != nil {
		t.Fatal(err)
	}
	if secret, err := folder.Secret("password"); err == nil {
		t.Fatalf("got the secret %q", secret)
	}
}

func TestPortsAreTheSameAgainUnlessTaken(t *testing.T) {
	folder := open(t)
	ports := func() []int {
		t.Helper()
		list, err := folder.Ports("ports.json", 2)
		if err != nil || len(list) != 2 || list[0] == list[1] {
			t.Fatalf("ports %v, %v", list, err)
		}
		return list
	}
	first := ports()
	if again := ports(); !slices.Equal(again, first) {
		t.Errorf("ports %v, then %v", first, again)
	}
	taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first[1]))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	other := ports()
	if other[0] != first[0] || other[1] == first[1] {
		t.Errorf("with %d taken: ports %v, want the first kept and the second changed", first[1], other)
	}
	if again := ports(); !slices.Equal(again, other) {
		t.Errorf("the new ports %v are not remembered: %v", other, again)
	}
}

func TestTooLittleDiskIsRefusedWithWhatToDo(t *testing.T) {
	folder := open(t)
	if err := folder.RequireFree(1 << 20); err != nil {
		t.Errorf("one MiB: %v", err)
	}
	err := folder.RequireFree(1 << 60)
	if err == nil || !strings.Contains(err.Error(), "free some space") || !strings.Contains(err.Error(), folder.Path()) {
		t.Errorf("got %v", err)
	}
}

func TestAFullDiskSaysWhatToDo(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Fatal("this system has no /dev/full: ", err)
	}
	log, err := child.OpenLog("/dev/full", 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The child goes on talking, and its last words are still known.
	if n, err := log.Write([]byte("the last words\n")); n != 15 || err != nil {
		t.Errorf("a write on a full disk: %d, %v; want it swallowed", n, err)
	}
	if got := log.Tail(); got != "the last words" {
		t.Errorf("tail %q", got)
	}
	_ = log.Close()
}
