package child

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// identify reads who runs under a pid; an error means nobody, or a zombie.
func identify(pid int) (identity, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return identity{}, err
	}
	// pid (name) state … : the name may hold spaces and parentheses, so count
	// from the last one. State is field 3, the start time field 22.
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) < 20 {
		return identity{}, fmt.Errorf("read /proc/%d/stat: unknown layout", pid)
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return identity{}, os.ErrProcessDone
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return identity{}, fmt.Errorf("read the start time of process %d: %w", pid, err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return identity{}, fmt.Errorf("read the boot id: %w", err)
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return identity{}, err
	}
	// A binary built anew while its old self runs shows up as deleted.
	exe = strings.TrimSuffix(exe, " (deleted)")
	return identity{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot)), Exe: exe}, nil
}

// prepare puts the child in a process group of its own, so that Ctrl-C in the
// terminal reaches only us (we stop the children, last and in order) and its
// own children can be ended with it. deathSignal, if any, is what the kernel
// sends it when the thread that started it ends.
func prepare(cmd *exec.Cmd, deathSignal syscall.Signal) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: deathSignal}
}

// reap waits for the child's end, ends what it started itself (redis-server's
// rewrite of its log) and takes its status. The middle step comes before the
// reaping, as long as the number of the group cannot be somebody else's.
func reap(cmd *exec.Cmd) {
	for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait() // the status is in ProcessState
}
