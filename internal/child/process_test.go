package child_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"leadevents/internal/child"
)

func TestAChildRunsUntilItIsStopped(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"by its stdin": 0, "by SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			folder := open(t)
			cfg := config(folder, "good")
			cfg.StopSignal = signal
			var heard []int
			cfg.OnStart = func(pid int) { heard = append(heard, pid) }
			process := start(t, cfg)
			pid, err := ask(folder.Path())
			if err != nil || pid != process.PID() || !slices.Equal(heard, []int{pid}) {
				t.Fatalf("the child is %d (%v), PID says %d, OnStart heard %v", pid, err, process.PID(), heard)
			}
			if err := process.Err(); err != nil {
				t.Errorf("a running child has the failure %v", err)
			}
			for range 2 { // stopping twice is no error
				if err := process.Stop(t.Context()); err != nil {
					t.Errorf("stop: %v", err)
				}
			}
			if !gone(pid) || process.PID() != 0 || process.Err() == nil {
				t.Errorf("after Stop: gone %v, PID %d, Err %v", gone(pid), process.PID(), process.Err())
			}
			if _, err := os.Stat(folder.Path("pet.pid")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the pid file is still there (%v)", err)
			}
		})
	}
}

func TestAKilledChildIsStartedAgain(t *testing.T) {
	folder := open(t)
	cfg := config(folder, "good")
	heard := make(chan int, 8)
	cfg.OnStart = func(pid int) { heard <- pid }
	process := start(t, cfg)
	before := <-heard
	for range 3 {
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		after := <-heard
		if pid, err := ask(folder.Path()); err != nil || pid != after || after == before || process.PID() != after {
			t.Fatalf("after the kill of %d: child %d (%v), OnStart heard %d, PID says %d", before, pid, err, after, process.PID())
		}
		before = after
	}
}

func TestTheWaitBeforeARestartDoublesUpToItsBound(t *testing.T) {
	folder := open(t)
	log := &waits{}
	cfg := config(folder, "brief")
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	process := start(t, cfg)
	want := []string{"1ms", "2ms", "4ms", "8ms", "8ms", "8ms"}
	eventually(t, "six restarts", func() bool { return len(log.seen()) >= len(want) })
	if err := process.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if got := log.seen()[:len(want)]; !slices.Equal(got, want) {
		t.Errorf("waits %v, want %v", got, want)
	}
}

// waits collects the logged waits.
type waits struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *waits) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func (w *waits) seen() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, match := range regexp.MustCompile(`after=(\S+)`).FindAllStringSubmatch(w.buf.String(), -1) {
		list = append(list, match[1])
	}
	return list
}

func TestAChildThatCannotStartIsAnErrorWithItsLastWords(t *testing.T) {
	folder := open(t)
	var previous []error
	cfg := config(folder, "crash")
	command := cfg.Command
	cfg.Command = func(err error) (*exec.Cmd, error) {
		previous = append(previous, err)
		return command(err)
	}
	_, err := child.Start(t.Context(), cfg)
	exit, ok := errors.AsType[*child.ExitError](err)
	if !ok || exit.Status != "exit status 3" || exit.Words != "I cannot find my hat" {
		t.Fatalf("got %#v, want an ExitError of status 3 with the child's words", err)
	}
	if len(previous) < 2 || previous[0] != nil || previous[1] == nil {
		t.Errorf("Command heard of %v, want nothing and then why the first start failed", previous)
	}
}

func TestAChildThatNeverAnswersIsAnErrorAndEnds(t *testing.T) {
	folder := open(t)
	cfg := config(folder, "good")
	cfg.Ready = func(context.Context) error { return errors.New("nobody is home") }
	cfg.ReadyTimeout = 100 * time.Millisecond
	_, err := child.Start(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "nobody is home") || !strings.Contains(err.Error(), "pet.log") {
		t.Errorf("got %v, want an error with the last answer and the place of the log", err)
	}
	if _, err := ask(folder.Path()); err == nil {
		t.Error("the child still runs")
	}
}

func TestADeafChildIsKilled(t *testing.T) {
	t.Run("after the stop timeout", func(t *testing.T) {
		cfg := config(open(t), "deaf")
		cfg.StopTimeout = 50 * time.Millisecond
		process := start(t, cfg)
		pid := process.PID()
		if err := process.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), strconv.Itoa(pid)) || !gone(pid) {
			t.Errorf("stop: %v, gone %v: want an error that names %d, and it gone", err, gone(pid), pid)
		}
	})
	t.Run("when the context ends first", func(t *testing.T) {
		cfg := config(open(t), "deaf")
		cfg.StopSignal = syscall.SIGTERM
		cfg.StopTimeout = time.Hour
		process := start(t, cfg)
		pid := process.PID()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := process.Stop(ctx); err == nil || !gone(pid) {
			t.Errorf("stop: %v, gone %v", err, gone(pid))
		}
	})
}

func TestAChildsOwnChildrenEndWithIt(t *testing.T) {
	folder := open(t)
	process := start(t, config(folder, "forker"))
	log, err := os.ReadFile(folder.Path("pet.log"))
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscanf(string(log), "grandchild %d", &pid); err != nil || gone(pid) {
		t.Fatalf("no grandchild in %q (%v)", log, err)
	}
	if err := syscall.Kill(process.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the grandchild ends", func() bool { return gone(pid) })
}

// helper starts this binary in a role and returns the pid it prints: a parent
// its child's, a holder its own.
func helper(t *testing.T, role, dir, how string) (cmd *exec.Cmd, pid int) {
	t.Helper()
	cmd = exec.Command(os.Args[0], dir, how)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscanln(out, &pid); err != nil {
		t.Fatalf("the helper did not come up: %v", err)
	}
	return cmd, pid
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

func TestAChildEndsWithItsKilledParent(t *testing.T) {
	for _, how := range []string{"stdin", "signal"} {
		t.Run(how, func(t *testing.T) {
			folder := open(t)
			dir := filepath.Join(folder.Path(), "d")
			cmd, pid := helper(t, "parent", dir, how)
			kill(t, cmd)
			eventually(t, "the child ends", func() bool { return gone(pid) })
		})
	}
}

func TestAChildLeftBehindIsEndedByTheNextStart(t *testing.T) {
	dir := filepath.Join(open(t).Path(), "d")
	cmd, pid := helper(t, "deaf parent", dir, "signal")
	kill(t, cmd)
	folder, err := child.OpenFolder(dir)
	if err != nil {
		t.Fatal("the lock of a killed process is still held:", err)
	}
	defer func() { _ = folder.Close() }()
	if gone(pid) {
		t.Fatal("the deaf child ended with its parent: the test shows nothing")
	}
	cfg := config(folder, "good")
	cfg.StopSignal = syscall.SIGTERM
	cfg.StopTimeout = 50 * time.Millisecond
	process := start(t, cfg)
	if !gone(pid) {
		t.Errorf("the child %d of the killed parent still runs beside %d", pid, process.PID())
	}
}

func TestAReusedPidIsNeverKilled(t *testing.T) {
	folder := open(t)
	bystander := exec.Command("sleep", "600")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(t, bystander) })
	real := readPidFile(t, bystander.Process.Pid)
	for name, change := range map[string]func(string) string{
		"another start time": func(s string) string { return regexp.MustCompile(`"start":\d+`).ReplaceAllString(s, `"start":1`) },
		"another executable": func(s string) string {
			return regexp.MustCompile(`"exe":"[^"]*"`).ReplaceAllString(s, `"exe":"/bin/x"`)
		},
		"another boot":  func(s string) string { return regexp.MustCompile(`"boot":"[^"]*"`).ReplaceAllString(s, `"boot":"x"`) },
		"a torn file":   func(s string) string { return s[:len(s)/2] },
		"an empty file": func(string) string { return "" },
		"pid 1":         func(string) string { return `{"pid":1}` },
	} {
		t.Run(name, func(t *testing.T) {
			changed := change(real)
			if changed == real {
				t.Fatalf("nothing was changed in %s", real)
			}
			if err := folder.WriteFile("pet.pid", []byte(changed)); err != nil {
				t.Fatal(err)
			}
			process := start(t, config(folder, "good"))
			if gone(bystander.Process.Pid) {
				t.Fatal("a process that is not ours was ended")
			}
			if err := process.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("but the very process is", func(t *testing.T) {
		if err := folder.WriteFile("pet.pid", []byte(real)); err != nil {
			t.Fatal(err)
		}
		cfg := config(folder, "good")
		cfg.StopTimeout = 10 * time.Millisecond
		start(t, cfg)
		if !gone(bystander.Process.Pid) {
			t.Error("the process that the pid file names still runs")
		}
	})
}

// readPidFile is what the supervisor would write about a process.
func readPidFile(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"pid":%d,"start":%s,"boot":"%s","exe":"%s"}`, pid, strings.Fields(string(stat))[21], strings.TrimSpace(string(boot)), exe)
}
