package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// resends bounds how often a call is sent again after a 503; each waits for its
// Retry-After, so this is a minute.
const resends = 60

// stream is calls of one kind, sent by connections that each send their next when
// the last is answered.
type stream struct {
	draw func(b []byte, n uint64) (request, error)
	next atomic.Uint64 // so many have been sent in the end

	mu       sync.Mutex
	answered []answeredCall
	refused  []time.Time // 503s
	wrong    []error
}

// answeredCall is a call from its first sending to its answer.
type answeredCall struct {
	began, ended time.Time
	rows         int
}

// work sends calls until ctx ends, or one goes wrong; one that is begun is seen to
// its end.
func (st *stream) work(ctx context.Context, s *server) {
	var body []byte
	for ctx.Err() == nil {
		r, err := st.draw(body, st.next.Add(1)-1)
		if err != nil {
			st.next.Add(^uint64(0)) // it was none
			st.fail(err)
			return
		}
		body = r.body
		if err := st.send(s, r); err != nil {
			st.fail(err)
			return
		}
	}
}

// send sends one call until it is answered, as a client does, and holds its counts.
func (st *stream) send(s *server, r request) error {
	began := time.Now()
	for try := range resends {
		a, err := s.post(r.body)
		if refused, ok := errors.AsType[*refusal](err); ok && refused.status == fasthttp.StatusServiceUnavailable {
			st.mu.Lock()
			st.refused = append(st.refused, time.Now())
			st.mu.Unlock()
			time.Sleep(max(refused.after, 10*time.Millisecond))
			continue
		}
		if err != nil {
			return err
		}
		st.mu.Lock()
		st.answered = append(st.answered, answeredCall{began, time.Now(), r.fresh + r.repeats})
		st.mu.Unlock()
		return r.holds(a, try > 0)
	}
	return fmt.Errorf("a call of %d events was answered 503 %d times", r.fresh+r.repeats, resends)
}

// holds compares an answer with what it has to be. Of a call that was sent again
// after a 503, the first attempt may have taken keys without telling.
func (r request) holds(a answer, again bool) error {
	total := r.fresh + r.repeats
	switch {
	case a.Received != total || a.Rejected != 0 || a.Inserted+a.Duplicates != total:
	case a.Inserted == r.fresh:
		return nil
	case again && a.Inserted < r.fresh:
		return nil
	}
	return fmt.Errorf("a wrong answer: of %d new events and %d repeats (sent again: %t) %d were inserted, %d duplicates, %d rejected",
		r.fresh, r.repeats, again, a.Inserted, a.Duplicates, a.Rejected)
}

func (st *stream) fail(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.wrong = append(st.wrong, err)
}

// pace is what a stream came to in a stretch of time.
type pace struct {
	perSecond float64 // events of answered calls
	latencies sample  // of calls answered in it, 503s and waits included
	refused   int     // 503s
}

// between measures from from to to. A call's events are spread evenly over its
// time: with a few big calls a second, whole ones would make steps.
func (st *stream) between(from, to time.Time) pace {
	st.mu.Lock()
	defer st.mu.Unlock()
	var p pace
	for _, a := range st.answered {
		inside := min(a.ended.Sub(from), to.Sub(from)) - max(a.began.Sub(from), 0)
		if inside > 0 {
			p.perSecond += float64(a.rows) * float64(inside) / float64(a.ended.Sub(a.began))
		}
		if a.ended.After(from) && !a.ended.After(to) {
			p.latencies = append(p.latencies, a.ended.Sub(a.began))
		}
	}
	p.perSecond /= to.Sub(from).Seconds()
	for _, at := range st.refused {
		if at.After(from) && !at.After(to) {
			p.refused++
		}
	}
	return p
}
