package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// running is one life of the child.
type running struct {
	cmd    *exec.Cmd
	pid    int
	stdin  io.Closer
	ready  time.Time
	exited chan struct{} // closed after the child is reaped; then cmd.ProcessState is set
}

// launch starts the child and waits until it is ready. On any error nothing of
// it is left running.
func (p *Process) launch(ctx context.Context, previous error) (*running, error) {
	cmd, err := p.cfg.Command(previous)
	if err != nil {
		return nil, err
	}
	p.log.forget()
	cmd.Stdout, cmd.Stderr = p.log, p.log
	// Only a grandchild can keep the output open after the exit.
	cmd.WaitDelay = 2 * time.Second
	prepare(cmd, p.cfg.StopSignal)
	r := &running{cmd: cmd, exited: make(chan struct{})}
	if p.cfg.StopSignal == 0 {
		if r.stdin, err = cmd.StdinPipe(); err != nil {
			return nil, fmt.Errorf("make the stdin of %s: %w", p.cfg.Name, err)
		}
	}
	if err := r.start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.cfg.Name, err)
	}
	if err := p.cfg.Folder.record(p.cfg.Name, r.pid); err != nil {
		return nil, errors.Join(err, p.end(r))
	}
	if err := p.awaitReady(ctx, r); err != nil {
		select {
		case <-r.exited:
		default:
			_ = p.end(r) // err says more
		}
		return nil, err
	}
	r.ready = time.Now()
	p.set(r.pid, nil)
	if p.cfg.OnStart != nil {
		p.cfg.OnStart(r.pid)
	}
	return r, nil
}

// start forks the child from a goroutine that stays on its thread as long as
// the child lives: the kernel sends the parent death signal when the *thread*
// that forked ends, and Go ends idle threads as it likes.
func (r *running) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := r.cmd.Start(); err != nil {
			started <- err
			return
		}
		r.pid = r.cmd.Process.Pid
		started <- nil
		reap(r.cmd)
		close(r.exited)
	}()
	return <-started
}

// exit says how the child ended; call it after r.exited.
func (r *running) exit(p *Process) *ExitError {
	status := "unknown status"
	if r.cmd.ProcessState != nil {
		status = r.cmd.ProcessState.String()
	}
	return &ExitError{Name: p.cfg.Name, Status: status, Words: p.log.Tail()}
}

// readyTry bounds one readiness question; a child under load answers late.
const readyTry = 5 * time.Second

func (p *Process) awaitReady(ctx context.Context, r *running) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.ReadyTimeout)
	defer cancel()
	pause := 10 * time.Millisecond
	for {
		try, cancelTry := context.WithTimeout(ctx, readyTry)
		err := p.cfg.Ready(try)
		cancelTry()
		select {
		case <-r.exited: // first: whoever answered was not our child
			return r.exit(p)
		default:
		}
		if err == nil {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-r.exited:
			timer.Stop()
			return r.exit(p)
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s did not become ready (its log: %s): %w", p.cfg.Name, p.log.path, errors.Join(ctx.Err(), err))
		case <-timer.C:
		}
		pause = min(2*pause, 200*time.Millisecond)
	}
}

// end asks the child to stop, and kills it if it does not, or must not wait.
func (p *Process) end(r *running) error {
	if r.stdin != nil {
		_ = r.stdin.Close()
	} else {
		_ = r.cmd.Process.Signal(p.cfg.StopSignal)
	}
	timer := time.NewTimer(p.cfg.StopTimeout)
	defer timer.Stop()
	var err error
	select {
	case <-r.exited:
	case <-timer.C:
		err = fmt.Errorf("%s (pid %d) did not stop within %v and was killed", p.cfg.Name, r.pid, p.cfg.StopTimeout)
	case <-p.kill:
		err = fmt.Errorf("%s (pid %d) had not stopped when the time for it was over, and was killed", p.cfg.Name, r.pid)
	}
	if err != nil {
		_ = syscall.Kill(-r.pid, syscall.SIGKILL)
		<-r.exited
	}
	if rm := os.Remove(p.cfg.Folder.Path(p.cfg.Name + ".pid")); rm != nil && !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}
