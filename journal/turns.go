package journal

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
)

// turns are what the workers at erasures and at undos have in common: when they look for
// entries, and that of all processes one works at them.
type turns struct {
	what, lock string // "an erasure", in the log; the name of the lock
	poll       time.Duration
	longest    time.Duration // that a call waits for an end
	logger     *slog.Logger
	locks      Locks
	open       prometheus.Gauge
	read       func(context.Context) (map[leadevents.OrgID][]Log, error)
	workAt     func(context.Context, leadevents.OrgID, []Log) error
	wake       chan struct{} // of one
}

// hurry has this process' worker look at once.
func (t *turns) hurry() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run takes turn after turn until ctx ends. What is under way then is gone on with by
// another process, or at the next start.
func (t *turns) run(ctx context.Context, turn func(context.Context) error) error {
	pause := t.poll
	for {
		err := turn(ctx)
		switch {
		case err == nil:
			pause = t.poll
		case ctx.Err() == nil:
			t.logger.Warn(t.what+" did not get on; it is gone on with", "error", err)
			pause = min(2*pause, longestPause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		case <-time.After(pause):
		}
	}
}

// work does what is due, if no other process does.
func (t *turns) work(ctx context.Context) error {
	open, err := t.read(ctx)
	if err != nil {
		return err
	}
	n := 0
	for _, logs := range open {
		n += len(logs)
	}
	t.open.Set(float64(n))
	if n == 0 {
		return nil
	}
	held, release, err := t.locks.Hold(ctx, t.lock, workLock)
	if err != nil || !held {
		return err
	}
	defer release()
	// Again, by whoever has the lock: what it was before may be done.
	if open, err = t.read(ctx); err != nil {
		return err
	}
	for org, logs := range open {
		if err := t.workAt(ctx, org, logs); err != nil {
			return err
		}
	}
	return nil
}

// wait returns when done says so, or with a 503 that begins with what is not so yet.
func (t *turns) wait(ctx context.Context, not string, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, t.longest)
	defer cancel()
	for {
		ok, err := done(ctx)
		if ctx.Err() == nil && (err != nil || ok) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return leadevents.Errorf(leadevents.Unavailable, "%s (no end within %s, or the server is stopping); it goes on: ask again", not, t.longest)
		}
	}
}
