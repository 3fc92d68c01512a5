package child

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Config says what to run and how to know that it works. Zero durations and
// sizes mean the defaults named beside them.
type Config struct {
	Name   string  // names the child's log and pid file, and the child in messages
	Folder *Folder // where those files are
	Logger *slog.Logger

	// Command builds the command of the next start; previous is why the last
	// one failed or ended (nil at first), an *[ExitError] if the child exited:
	// the place to choose other ports. Stdin, Stdout, Stderr and SysProcAttr
	// are the supervisor's.
	Command func(previous error) (*exec.Cmd, error)
	// Ready asks the child whether it works. It is called until it returns
	// nil, each time with a deadline of its own.
	Ready func(ctx context.Context) error
	// OnStart hears the pid after every (re)start, once the child is ready and
	// before Start returns; it must not call Stop.
	OnStart func(pid int)

	// StopSignal asks the child to stop; 0 closes its stdin instead. With a
	// signal the kernel also sends it when our process dies.
	StopSignal syscall.Signal

	ReadyTimeout time.Duration // 2 min: an engine with many parts loads them first
	StopTimeout  time.Duration // 20 s, then SIGKILL
	BackoffMin   time.Duration // 100 ms: the wait before the first restart
	BackoffMax   time.Duration // 10 s: it doubles up to here
	LogMaxBytes  int64         // 8 MiB a file
	LogKeep      int           // 2 older files
}

func (c *Config) setDefaults() {
	fallback := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	fallback(&c.ReadyTimeout, 2*time.Minute)
	fallback(&c.StopTimeout, 20*time.Second)
	fallback(&c.BackoffMin, 100*time.Millisecond)
	fallback(&c.BackoffMax, 10*time.Second)
	if c.LogMaxBytes == 0 {
		c.LogMaxBytes = 8 << 20
	}
	if c.LogKeep == 0 {
		c.LogKeep = 2
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// steady is how long a child must have been up for its next death to count as
// the first one again.
const steady = time.Minute

// ExitError says that the child ended by itself, with its last words.
type ExitError struct {
	Name   string
	Status string // "exit status 1", "signal: killed"
	Words  string // the end of its output
}

// Error is the status and the last words.
func (e *ExitError) Error() string {
	if e.Words == "" {
		return fmt.Sprintf("%s ended (%s)", e.Name, e.Status)
	}
	return fmt.Sprintf("%s ended (%s); its last words: %s", e.Name, e.Status, e.Words)
}

// Process is a supervised child.
type Process struct {
	cfg Config
	log *Log

	life    context.Context // ends with Stop
	stop    context.CancelFunc
	kill    chan struct{} // closed when Stop's own context ends first
	killNow sync.Once
	done    chan struct{} // closed when the supervisor has ended

	mu      sync.Mutex
	pid     int   // 0 while the child is down
	failure error // why it is down
	stopErr error
}

// Start ends what an earlier run left behind, starts the child, waits until it
// is ready and supervises it until [Process.Stop]. ctx bounds the start only.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	cfg.setDefaults()
	ended, err := cfg.Folder.endLeftover(cfg.Name, cfg.StopSignal, cfg.StopTimeout)
	if err != nil {
		return nil, err
	}
	if ended != 0 {
		cfg.Logger.Warn("ended a child left behind by an earlier run", "child", cfg.Name, "pid", ended)
	}
	log, err := OpenLog(cfg.Folder.Path(cfg.Name+".log"), cfg.LogMaxBytes, cfg.LogKeep)
	if err != nil {
		return nil, err
	}
	p := &Process{cfg: cfg, log: log, kill: make(chan struct{}), done: make(chan struct{})}
	p.life, p.stop = context.WithCancel(context.Background())
	first, err := p.firstStart(ctx)
	if err != nil {
		p.stop()
		return nil, errors.Join(err, log.Close())
	}
	go p.supervise(first)
	return p, nil
}

// firstTries: the first start is tried again only after an exit, in case the
// child lost a race for its port; anything lasting is reported after a second.
const firstTries = 3

func (p *Process) firstStart(ctx context.Context) (*running, error) {
	var err error
	for try := range firstTries {
		if try > 0 && !p.wait(ctx, p.cfg.BackoffMin<<try) {
			return nil, errors.Join(err, ctx.Err())
		}
		var r *running
		if r, err = p.launch(ctx, err); err == nil {
			return r, nil
		}
		if _, exited := errors.AsType[*ExitError](err); !exited {
			break
		}
	}
	return nil, err
}

// PID is the ready child's process id, 0 while it is down.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

// Err is nil while the child is up, otherwise why it is not.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure
}

func (p *Process) set(pid int, failure error) {
	p.mu.Lock()
	p.pid, p.failure = pid, failure
	p.mu.Unlock()
}

// errStopped is the failure of a child that Stop has ended.
var errStopped = errors.New("it was stopped")

// Stop ends the child in order, with SIGKILL after StopTimeout or as soon as
// ctx ends, and waits for it and for the supervisor. An error means that it had
// to be killed. It may be called more than once.
func (p *Process) Stop(ctx context.Context) error {
	p.stop()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.killNow.Do(func() { close(p.kill) })
		<-p.done // bounded: SIGKILL is on its way
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopErr
}

// supervise owns the child from its first readiness to the end.
func (p *Process) supervise(r *running) {
	defer close(p.done)
	delay := p.cfg.BackoffMin
	for {
		select {
		case <-p.life.Done():
			p.finish(r)
			return
		case <-r.exited:
		}
		failure := error(r.exit(p))
		p.set(0, failure)
		if time.Since(r.ready) >= steady {
			delay = p.cfg.BackoffMin
		}
		if r = p.restart(failure, &delay); r == nil {
			p.finish(nil)
			return
		}
	}
}

// restart tries until the child is up again; nil means that Stop came first.
// There is no last try: requests get 503 meanwhile, and a store may come back
// hours later, when somebody has freed the disk.
func (p *Process) restart(failure error, delay *time.Duration) *running {
	for {
		p.cfg.Logger.Error("child is down, starting it again", "child", p.cfg.Name, "after", *delay, "error", failure)
		if !p.wait(p.life, *delay) {
			return nil
		}
		*delay = min(2**delay, p.cfg.BackoffMax)
		r, err := p.launch(p.life, failure)
		if err == nil {
			p.cfg.Logger.Info("child is up again", "child", p.cfg.Name, "pid", r.pid)
			return r
		}
		failure = err
		p.set(0, failure)
	}
}

// finish ends the running child, if any, and closes what belongs to it.
func (p *Process) finish(r *running) {
	var err error
	if r != nil {
		err = p.end(r)
	}
	err = errors.Join(err, p.log.Close())
	p.mu.Lock()
	p.pid, p.failure, p.stopErr = 0, errStopped, err
	p.mu.Unlock()
}

// wait sleeps and reports whether the whole time passed.
func (p *Process) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
