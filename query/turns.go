package query

import (
	"context"
	"sync"
	"time"

	"leadevents"
)

// How a turn is waited for.
const (
	turnWait  = 30 * time.Second       // then it is a 503
	turnLife  = 30 * time.Second       // how long a lock outlives a process that dies
	turnFirst = 5 * time.Millisecond   // until another process is asked again ...
	turnMost  = 250 * time.Millisecond // ... doubled up to this
)

// turns lets one at a time work under a name: in this process by a queue of its
// own, over all processes by a lock that is asked for again and again.
type turns struct {
	locks Locks

	mu     *sync.Mutex
	queues map[string]*turnQueue
}

// turnQueue is those of this process who have a turn or wait for it.
type turnQueue struct {
	turn chan struct{} // holds one
	n    int
}

func newTurns(locks Locks) turns {
	return turns{locks: locks, mu: new(sync.Mutex), queues: map[string]*turnQueue{}}
}

// take waits for the turn under name; release gives it on. Its error is a 503.
func (t *turns) take(ctx context.Context, name string) (release func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	leave, err := t.enter(waiting, name)
	if err != nil {
		return nil, err
	}
	for pause := turnFirst; ; pause = min(2*pause, turnMost) {
		held, unlock, err := t.locks.Hold(ctx, name, turnLife)
		if err != nil {
			leave()
			return nil, err
		}
		if held {
			return func() { unlock(); leave() }, nil
		}
		select {
		case <-waiting.Done():
			leave()
			return nil, errBusy(waiting.Err())
		case <-time.After(pause):
		}
	}
}

// try takes the turn if nobody has it.
func (t *turns) try(ctx context.Context, name string) (release func(), free bool, err error) {
	held, unlock, err := t.locks.Hold(ctx, name, turnLife)
	return unlock, held, err
}

// enter waits for the turn within this process.
func (t *turns) enter(ctx context.Context, name string) (leave func(), err error) {
	t.mu.Lock()
	q := t.queues[name]
	if q == nil {
		q = &turnQueue{turn: make(chan struct{}, 1)}
		t.queues[name] = q
	}
	q.n++
	t.mu.Unlock()
	gone := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if q.n--; q.n == 0 {
			delete(t.queues, name)
		}
	}
	select {
	case q.turn <- struct{}{}:
		return func() { <-q.turn; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, errBusy(ctx.Err())
	}
}

func errBusy(cause error) error {
	e := leadevents.Wrap(leadevents.Unavailable, cause, "other changes of this audience or send are on their way, for longer than %s; send the same request again", turnWait)
	e.RetryAfter = turnMost * 20
	return e
}
