//go:build !linux

package child

import (
	"errors"
	"os/exec"
	"syscall"
)

// identify needs /proc. Without it nobody is ever taken for a leftover, so no
// process is ended by mistake; there is no embedded engine on these systems.
func identify(int) (identity, error) {
	return identity{}, errors.New("process identities are read from /proc, which this system does not have")
}

func prepare(cmd *exec.Cmd, _ syscall.Signal) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

func reap(cmd *exec.Cmd) { _ = cmd.Wait() }
