package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"leadevents/internal/loadgen"
)

// flood is connections that each send a new single event as soon as the last was
// answered, whatever the answer: the rudest client there can be.
type flood struct {
	server *server
	events *loadgen.Generator
	most   uint64 // of them
	begun  time.Time
	next   atomic.Uint64      // so many have been sent in the end
	halt   context.CancelFunc // of the connections that are there
	work   sync.WaitGroup

	mu       sync.Mutex
	attempts []attempt
	last     atomic.Int64 // when the last 200 was sent off that was answered, since begun
	wrong    error        // the first answer that is neither a 503 nor one inserted
}

// attempt is one call: when it was sent and answered, since the begin, and what.
type attempt struct {
	sent, ended time.Duration
	status      int
}

// startFlood begins with so many connections, which go on until ctx ends, or stop;
// there are most events.
func startFlood(ctx context.Context, s *server, events *loadgen.Generator, most uint64, connections int) *flood {
	f := &flood{server: s, events: events, most: most, begun: time.Now()}
	f.connect(ctx, connections)
	return f
}

// connect adds connections.
func (f *flood) connect(ctx context.Context, connections int) {
	ctx, f.halt = context.WithCancel(ctx)
	for range connections {
		f.work.Go(func() { f.send(ctx) })
	}
}

// relieve puts new connections in the place of those that are there: each of them
// may be waiting for one answer. They end when they have it.
func (f *flood) relieve(ctx context.Context, connections int) {
	f.halt()
	f.connect(ctx, connections)
}

// send is one connection.
func (f *flood) send(ctx context.Context) {
	var (
		mine  []attempt
		wrong error
		body  []byte
	)
	for ctx.Err() == nil && wrong == nil {
		i := f.next.Add(1) - 1
		if i >= f.most {
			f.next.Store(f.most)
			wrong = fmt.Errorf("the load has only %d events: choose fewer --seconds", f.most)
			break
		}
		body = f.events.AppendRequest(body[:0], i, f.most)
		a := attempt{sent: f.now()}
		answer, err := f.server.post(body)
		a.ended = f.now()
		refused, is := errors.AsType[*refusal](err)
		switch {
		case is && refused.status == http.StatusServiceUnavailable:
			a.status = refused.status
		case err != nil:
			wrong = err
		case answer.Inserted != 1:
			wrong = fmt.Errorf("a new event was answered %+v", answer)
		default:
			a.status = http.StatusOK
			f.answered(a.sent)
		}
		mine = append(mine, a)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempts = append(f.attempts, mine...)
	if f.wrong == nil {
		f.wrong = wrong
	}
}

// answered notes a 200, by when its call was sent.
func (f *flood) answered(sent time.Duration) {
	for {
		last := f.last.Load()
		if int64(sent) <= last || f.last.CompareAndSwap(last, int64(sent)) {
			return
		}
	}
}

// now is a moment on the flood's clock.
func (f *flood) now() time.Duration { return time.Since(f.begun) }

// awaitAnswer waits until a call that was sent after a moment is answered 200.
func (f *flood) awaitAnswer(ctx context.Context, after time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for time.Duration(f.last.Load()) <= after {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no call has been answered 200 since %s ago: %w", f.now()-after, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// stop lets every call that is under way be answered.
func (f *flood) stop() error {
	f.halt()
	f.work.Wait()
	slices.SortFunc(f.attempts, func(a, b attempt) int { return int(a.ended - b.ended) })
	return f.wrong
}

// holds sends everything again: what was not answered may be new or not, what was
// answered may not.
func (f *flood) holds(ctx context.Context) error {
	sent := f.next.Load()
	unanswered := 0
	for _, a := range f.attempts {
		if a.status != http.StatusOK {
			unanswered++
		}
	}
	all := func(uint64) bool { return true }
	again, err := f.server.again(ctx, f.events, sent, all)
	if err == nil && (again.Inserted > unanswered || again.Rejected > 0 || again.Received != int(sent)) {
		err = fmt.Errorf("sent again, %d of %d events were inserted, and only %d had not been answered", again.Inserted, sent, unanswered)
	}
	return err
}
