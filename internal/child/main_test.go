package child_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leadevents/internal/child"
)

// roleVariable makes this test binary play a child, or a parent to be killed.
const roleVariable = "CHILD_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		play(role, os.Args[1])
		return
	}
	goleak.VerifyTestMain(m)
}

// play is what the children do; dir holds their socket, by which they are
// found ready and tell their pid.
func play(role, dir string) {
	switch role {
	case "crash":
		fmt.Fprintln(os.Stderr, "I cannot find my hat")
		os.Exit(3)
	case "deaf": // to its signal and to its stdin
		signal.Ignore(syscall.SIGTERM)
		serve(dir)
		select {}
	case "brief": // answers once and dies
		serveOnce(dir)
		os.Exit(1)
	case "chatty":
		line := strings.Repeat("x", 999) + "\n"
		for range 500 {
			fmt.Print(line)
		}
		serve(dir)
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "forker": // leaves a child of its own behind
		grandchild := exec.Command("sleep", "600")
		if err := grandchild.Start(); err != nil {
			panic(err)
		}
		fmt.Println("grandchild", grandchild.Process.Pid)
		serve(dir)
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "good": // ends by SIGTERM (Go's default) or with its stdin, if that is a pipe
		serve(dir)
		if info, err := os.Stdin.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
			select {}
		}
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "holder":
		if _, err := child.OpenFolder(dir); err != nil {
			panic(err)
		}
		fmt.Println(os.Getpid())
		select {}
	case "parent", "deaf parent":
		folder, err := child.OpenFolder(dir)
		if err != nil {
			panic(err)
		}
		cfg := config(folder, "good")
		if role == "deaf parent" {
			cfg = config(folder, "deaf")
		}
		if os.Args[2] == "signal" {
			cfg.StopSignal = syscall.SIGTERM
		}
		process, err := child.Start(context.Background(), cfg)
		if err != nil {
			panic(err)
		}
		fmt.Println(process.PID())
		select {}
	}
}

func socket(dir string) string { return filepath.Join(dir, "s") }

func listen(dir string) net.Listener {
	_ = os.Remove(socket(dir))
	l, err := net.Listen("unix", socket(dir))
	if err != nil {
		panic(err)
	}
	return l
}

func answer(l net.Listener) {
	conn, err := l.Accept()
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(conn, os.Getpid())
	_ = conn.Close()
}

func serveOnce(dir string) { answer(listen(dir)) }

func serve(dir string) {
	l := listen(dir)
	go func() {
		for {
			answer(l)
		}
	}()
}

func ask(dir string) (int, error) {
	conn, err := net.Dial("unix", socket(dir))
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line))
}

// config runs this binary in a role.
func config(folder *child.Folder, role string) child.Config {
	return child.Config{
		Name: "pet", Folder: folder,
		Command: func(error) (*exec.Cmd, error) {
			cmd := exec.Command(os.Args[0], folder.Path())
			cmd.Env = append(os.Environ(), roleVariable+"="+role)
			return cmd, nil
		},
		Ready: func(context.Context) error {
			_, err := ask(folder.Path())
			return err
		},
		BackoffMin: time.Millisecond, BackoffMax: 8 * time.Millisecond,
	}
}

// open makes a folder whose path is short enough for a socket.
func open(t *testing.T) *child.Folder {
	t.Helper()
	dir, err := os.MkdirTemp("", "child")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	folder, err := child.OpenFolder(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	return folder
}

func start(t *testing.T, cfg child.Config) *child.Process {
	t.Helper()
	process, err := child.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Stop(context.Background()) })
	return process
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited 20 s in vain: %s", what)
}

// gone: no such process, or a zombie that nobody reaps.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	return strings.HasPrefix(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " Z")
}
