package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// group is what has been started, in order. Whatever it starts it stops, in
// reverse, whether the start got to its end or not.
type group struct {
	log   *slog.Logger
	parts []part

	once   sync.Once
	failed chan struct{} // closed when a part ends that should not
	cause  error
}

type part struct {
	name  string
	limit time.Duration // how long its stop may take
	stop  func(context.Context) error
}

func newGroup(log *slog.Logger) *group {
	return &group{log: log, failed: make(chan struct{})}
}

// add takes over a part that works already; stop ends it and waits for its end.
func (g *group) add(name string, limit time.Duration, stop func(context.Context) error) {
	g.parts = append(g.parts, part{name, limit, stop})
}

// addCloser is add for a part that only has to be closed.
func (g *group) addCloser(name string, stop func() error) {
	g.add(name, 10*time.Second, func(context.Context) error { return stop() })
}

// run starts a part that works until its context ends. If it ends before, the
// whole group is to stop: half a server is worse than none.
func (g *group) run(name string, limit time.Duration, work func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := work(ctx)
		if ctx.Err() == nil {
			if err == nil {
				err = errors.New("it ended by itself")
			}
			g.fail(fmt.Errorf("%s failed: %w", name, err))
			err = nil // told once, by wait
		}
		done <- err
	}()
	g.add(name, limit, func(stopping context.Context) error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-stopping.Done():
			return fmt.Errorf("it did not end within %s", limit)
		}
	})
}

// fail has the group stopped; the first cause counts.
func (g *group) fail(err error) {
	g.once.Do(func() {
		g.cause = err
		close(g.failed)
	})
}

// wait returns when ctx ends, with nil, or when a part fails, with its error.
func (g *group) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-g.failed:
		return g.cause
	}
}

// stop ends all parts, the last started first, each within its own limit. One
// that cannot be stopped does not keep the others from being.
func (g *group) stop() error {
	var all []error
	for i := len(g.parts) - 1; i >= 0; i-- {
		p := g.parts[i]
		ctx, cancel := context.WithTimeout(context.Background(), p.limit)
		began := time.Now()
		if err := p.stop(ctx); err != nil {
			all = append(all, fmt.Errorf("stop %s: %w", p.name, err))
		}
		cancel()
		g.log.Debug("stopped", "part", p.name, "took", time.Since(began))
	}
	g.parts = nil
	return errors.Join(all...)
}
