package ingest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
)

// scripted answers probes as the test says. What real stores say is tested in
// breaker_stores_test.go.
type scripted struct {
	mu     sync.Mutex
	answer func(ctx context.Context) (bool, error)
	heard  atomic.Uint64
	probes atomic.Int64
}

func (s *scripted) Heard() uint64 { return s.heard.Load() }

func (s *scripted) Probe(ctx context.Context) (bool, error) {
	s.probes.Add(1)
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	return answer(ctx)
}

func (s *scripted) does(answer func(ctx context.Context) (bool, error)) {
	s.mu.Lock()
	s.answer = answer
	s.mu.Unlock()
}

func answers(context.Context) (bool, error) { return true, nil }

func silent(ctx context.Context) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

func refused(context.Context) (bool, error) { return false, syscall.ECONNREFUSED }

func after(d time.Duration) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		if sleep(ctx, d) != nil {
			return false, ctx.Err()
		}
		return true, nil
	}
}

// withBreaker runs f with the breaker of a store that answers, on a clock of the
// test's own.
func withBreaker(t *testing.T, f func(t *testing.T, b *breaker, s *scripted)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{answer: answers}
		ctx, cancel := context.WithCancel(t.Context())
		b := newBreaker(ctx, "the store", "store", s, 700*time.Millisecond, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		defer func() { cancel(); b.working.Wait() }()
		elapse(time.Second)
		if err := b.refusal(); err != nil {
			t.Fatalf("a store that answers: %v", err)
		}
		f(t, b, s)
	})
}

// elapse lets time go by.
func elapse(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *breaker) mustBe(t *testing.T, state, when string) {
	t.Helper()
	if got := b.status().Breaker; got != state {
		t.Fatalf("%s: the breaker is %s, want %s", when, got, state)
	}
}

func TestARefusedConnectionOpensTheBreakerAtOnce(t *testing.T) {
	withBreaker(t, func(t *testing.T, b *breaker, s *scripted) {
		s.does(refused)
		elapse(110 * time.Millisecond)
		b.mustBe(t, "open", "after one probe")
		err := b.refusal()
		e, ok := errors.AsType[*leadevents.Error](err)
		if !ok || e.Kind != leadevents.Unavailable || e.RetryAfter <= 0 || e.Message != "the store does not answer; send the same request again" {
			t.Fatalf("refused with %#v", err)
		}
		s.does(answers)
		elapse(210 * time.Millisecond)
		b.mustBe(t, "closed", "when it is back")
	})
}

func TestSilenceOpensTheBreakerWithinASecond(t *testing.T) {
	withBreaker(t, func(t *testing.T, b *breaker, s *scripted) {
		s.does(silent)
		elapse(600 * time.Millisecond)
		b.mustBe(t, "closed", "after 600 ms of silence")
		elapse(350 * time.Millisecond)
		b.mustBe(t, "open", "after 950 ms of silence")
		elapse(time.Minute)
		b.mustBe(t, "open", "after a minute of silence")
		s.does(answers)
		elapse(probeLimit + 200*time.Millisecond) // the probe under way is lost
		b.mustBe(t, "closed", "when it is back")
	})
}

// A probe that a busy store is late with does not count while it says anything
// on any other connection.
func TestAStoreThatIsHeardIsNotDead(t *testing.T) {
	withBreaker(t, func(t *testing.T, b *breaker, s *scripted) {
		s.does(silent)
		for range 50 {
			elapse(300 * time.Millisecond)
			s.heard.Add(1)
			b.mustBe(t, "closed", "while it is heard")
		}
		elapse(time.Second)
		b.mustBe(t, "open", "when it is heard no more")
		for range 5 {
			s.heard.Add(1)
			elapse(100 * time.Millisecond)
			b.mustBe(t, "open", "until it answers a probe")
		}
	})
}

func TestAStoreWithLongRoundTripsIsNotDead(t *testing.T) {
	withBreaker(t, func(t *testing.T, b *breaker, s *scripted) {
		s.does(after(1200 * time.Millisecond))
		elapse(3 * time.Second) // it may open once, before it is known how slow it is
		for range 20 {
			elapse(500 * time.Millisecond)
			b.mustBe(t, "closed", "once it is known to be slow")
		}
	})
}

// Connections that end at once are no sign of life, but one of them is nothing
// either: a server that was restarted ends those it had.
func TestOneLostConnectionIsNotADeadStore(t *testing.T) {
	withBreaker(t, func(t *testing.T, b *breaker, s *scripted) {
		var lost atomic.Bool
		s.does(func(context.Context) (bool, error) {
			if lost.Swap(true) {
				return true, nil
			}
			return false, io.EOF
		})
		elapse(time.Second)
		if b.status().Since.After(time.Now().Add(-time.Second)) {
			t.Fatal("it opened and closed again")
		}
		s.does(func(context.Context) (bool, error) { return false, io.EOF })
		elapse(time.Second)
		b.mustBe(t, "open", "when every connection is lost")
	})
}

// What a living store says of itself is what the client is told.
func TestAStoreThatSaysItCannotWorkOpensTheBreakerWithItsReason(t *testing.T) {
	withBreaker(t, func(t *testing.T, b *breaker, s *scripted) {
		full := leadevents.Errorf(leadevents.Unavailable, "the store is full")
		full.RetryAfter = 5 * time.Second
		s.does(func(context.Context) (bool, error) { return true, full })
		elapse(110 * time.Millisecond)
		if err := b.refusal(); !errors.Is(err, full) {
			t.Fatalf("refused with %v", err)
		}
		if got := b.status().Reason; got != "the store is full" {
			t.Fatalf("/readyz shows %q", got)
		}
		s.does(refused) // and then it dies
		elapse(110 * time.Millisecond)
		if got := b.status().Reason; got != "the store does not answer; send the same request again" {
			t.Fatalf("/readyz shows %q", got)
		}
	})
}

func TestWhatADeadStoreWasToBeToldIsToldWhenItIsBack(t *testing.T) {
	withBreaker(t, func(t *testing.T, b *breaker, s *scripted) {
		s.does(refused)
		elapse(110 * time.Millisecond)
		var told atomic.Int64
		for range afterwardsLimit + 10 {
			b.whenBack(func(context.Context) { told.Add(1) })
		}
		elapse(time.Minute)
		if told.Load() != 0 {
			t.Fatal("told while it was dead")
		}
		s.does(answers)
		elapse(210 * time.Millisecond)
		if got := told.Load(); got != afterwardsLimit {
			t.Fatalf("told %d times, want %d", got, afterwardsLimit)
		}
	})
}

// A context within a breaker ends when that opens; with a grace, only if it stays
// open.
func TestWorkEndsWithTheBreakerOrAfterItsGrace(t *testing.T) {
	withBreaker(t, func(t *testing.T, b *breaker, s *scripted) {
		at := func(grace time.Duration) context.Context {
			ctx, cancel := b.within(t.Context(), grace)
			t.Cleanup(cancel)
			return ctx
		}
		soon, short, long := at(0), at(time.Second), at(time.Minute)
		s.does(refused)
		elapse(110 * time.Millisecond)
		if !errors.Is(context.Cause(soon), b.refusal()) || short.Err() != nil || long.Err() != nil {
			t.Fatalf("at once: %v, %v, %v", context.Cause(soon), short.Err(), long.Err())
		}
		elapse(2 * time.Second)
		if short.Err() == nil || long.Err() != nil {
			t.Fatalf("after 2 s: %v, %v", short.Err(), long.Err())
		}
		s.does(answers)
		elapse(2 * time.Minute)
		if long.Err() != nil {
			t.Fatalf("the store came back within the grace: %v", long.Err())
		}
	})
}

// A queued call is either begun or taken back, never both.
func TestAQueuedCallIsBegunOrTakenBack(t *testing.T) {
	for _, dead := range []string{"store", "ledger"} {
		both := breakers{store: &breaker{}, ledger: &breaker{}}
		both.store.state.Store(closedState())
		both.ledger.state.Store(closedState())
		answered := &Call{done: make(chan struct{})}
		go answered.finish(nil)
		if _, err := answered.await(both); err != nil {
			t.Fatalf("a call that was answered got %v", err)
		}
		cause := leadevents.Errorf(leadevents.Unavailable, "the %s died", dead)
		if dead == "store" {
			both.store.state.Load().open(cause)
		} else {
			both.ledger.state.Load().open(cause)
		}
		waits := &Call{done: make(chan struct{})}
		if _, err := waits.await(both); !errors.Is(err, cause) {
			t.Fatalf("%s: a call that waits got %v", dead, err)
		}
		if calls := begin([]*Call{waits}); len(calls) != 0 {
			t.Fatal("a call was begun that had been taken back")
		}
		runs := &Call{done: make(chan struct{})}
		if calls := begin([]*Call{runs}); len(calls) != 1 {
			t.Fatal("a call that waits was not begun")
		}
		go runs.finish(nil)
		if _, err := runs.await(both); err != nil {
			t.Fatalf("%s: a call that was begun got %v", dead, err)
		}
	}
}
