package ingest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/ingest"
	"leadevents/internal/chaos"
	"leadevents/internal/storetest"
)

// quick makes the breaker as the server has it, and its metrics readable.
func quick(s *stores) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	s.ingest.Silence, s.ingest.Metrics = 700*time.Millisecond, reg
	return reg
}

// attempt is one call of a crowd.
type attempt struct {
	began, ended time.Time
	err          error
}

// crowd is clients that send single events, each once and one after the other.
type crowd struct {
	p     *process
	stop  atomic.Bool
	done  sync.WaitGroup
	begun time.Time

	mu       sync.Mutex
	attempts []attempt
	events   []leadevents.Event // of all calls
	inserted int                // told
	answered int
}

func (p *process) crowd(clients int) *crowd {
	c := &crowd{p: p, begun: time.Now()}
	var next atomic.Int64
	at := now()
	for range clients {
		c.done.Go(func() {
			for !c.stop.Load() {
				e := event(int(next.Add(1)), at)
				a := attempt{began: time.Now()}
				var result ingest.Result
				result, a.err = p.ingester.Submit(p.t.Context(), call("crowd", e))
				a.ended = time.Now()
				c.mu.Lock()
				c.attempts = append(c.attempts, a)
				c.events = append(c.events, e)
				if a.err == nil {
					c.answered++
					c.inserted += result.Inserted
				}
				c.mu.Unlock()
				if a.err != nil {
					time.Sleep(20 * time.Millisecond) // a polite client; thousands of calls a second prove no more
				}
			}
		})
	}
	return c
}

// between are the attempts that began from from to to.
func (c *crowd) between(from, to time.Time) []attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	var some []attempt
	for _, a := range c.attempts {
		if a.began.After(from) && a.began.Before(to) {
			some = append(some, a)
		}
	}
	return some
}

// answeredAfter says whether a call that began after a moment was answered.
func (c *crowd) answeredAfter(moment time.Time) bool {
	return slices.ContainsFunc(c.between(moment, time.Now()), func(a attempt) bool { return a.err == nil })
}

// settle ends the crowd and holds its counts: each key was told inserted at most
// once, and exactly once where its only call was answered; all are stored.
func (c *crowd) settle() {
	c.p.t.Helper()
	c.stop.Store(true)
	c.done.Wait()
	if c.inserted != c.answered {
		c.p.t.Fatalf("%d single events were answered, %d as inserted", c.answered, c.inserted)
	}
	again := c.p.try(func() *ingest.Call { return call("crowd", c.events...) })
	if unanswered := len(c.events) - c.answered; again.Inserted > unanswered {
		c.p.t.Fatalf("%d were inserted when sent again, and only %d had not been answered", again.Inserted, unanswered)
	}
	c.p.wants(0, len(c.events), "crowd", c.events)
	if got := c.p.stored(); got != len(c.events) {
		c.p.t.Fatalf("%d keys are stored, want %d", got, len(c.events))
	}
}

// must503 holds that an error is the 503 that names its cause, with a Retry-After.
func must503(t testing.TB, err error, says string) {
	t.Helper()
	e, ok := errors.AsType[*leadevents.Error](err)
	if !ok || e.Kind != leadevents.Unavailable || e.RetryAfter <= 0 || !strings.Contains(e.Message, says) {
		t.Errorf("got %v, want a 503 with Retry-After that says %q", err, says)
	}
}

// metric reads a gauge or counter of the registry: the sum over its series that
// have the given labels ("store=redis").
func metric(t *testing.T, reg *prometheus.Registry, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			has := map[string]bool{}
			for _, l := range m.GetLabel() {
				has[l.GetName()+"="+l.GetValue()] = true
			}
			if family.GetName() == name && !slices.ContainsFunc(labels, func(l string) bool { return !has[l] }) {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// The claim of the issue, with bounds for a busy machine; bench/backpressure.go
// measures it.
func TestADeadStoreIsAnsweredAtOnceAfterTheFirstSecond(t *testing.T) {
	for _, c := range []struct {
		name, label, says string
		fault             func(*world) (end func())
	}{
		{"ClickHouse gone", "clickhouse", "(ClickHouse) does not answer", func(w *world) func() { w.click.Halt(); return w.click.Start }},
		{"ClickHouse stopped", "clickhouse", "(ClickHouse) does not answer", func(w *world) func() { w.click.Pause(); return w.click.Resume }},
		{"Redis gone", "redis", "(Redis) does not answer", func(w *world) func() { w.redis.Halt(); return w.redis.Start }},
		{"Redis stopped", "redis", "(Redis) does not answer", func(w *world) func() { w.redis.Pause(); return w.redis.Resume }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var reg *prometheus.Registry
			click := storetest.OwnClickHouse(t)
			w := newWorld(t, func(s *stores) { s.ch = click.Store(); reg = quick(s) })
			w.click = click
			crowd := w.process.crowd(40)
			eventually(t, "calls are answered", func() bool { return crowd.answeredAfter(crowd.begun) })

			end := c.fault(w)
			dead := time.Now()
			eventually(t, "the breaker is open", func() bool { return metric(t, reg, "leadevents_store_breaker_open", "store="+c.label) == 1 })
			if took := time.Since(dead); took > 3*time.Second { // 1 s where the machine has time
				t.Errorf("the breaker opened after %s", took)
			}
			open := time.Now()
			// Big calls and those with an Idempotency-Key do not wait either.
			_, err := w.process.ingester.Submit(t.Context(), call("big", events(5000, now())...))
			must503(t, err, c.says)
			once := call("once", events(3, now())...)
			once.IdempotencyKey = "k-1"
			_, err = w.process.ingester.Submit(t.Context(), once)
			must503(t, err, c.says)
			if took := time.Since(open); took > time.Second {
				t.Errorf("two calls were refused in %s", took)
			}
			// Traffic meets the dead store; clients whose seal was sent when it died wait
			// for its outcome first.
			var refused []attempt
			eventually(t, "500 calls meet the dead store", func() bool { refused = crowd.between(open, time.Now()); return len(refused) >= 500 })
			late := 0
			for _, a := range refused {
				must503(t, a.err, c.says)
				if a.ended.Sub(a.began) > 100*time.Millisecond {
					late++
				}
			}
			if late*20 > len(refused) {
				t.Errorf("%d of %d calls took more than 100 ms", late, len(refused))
			}
			if waiting := metric(t, reg, "leadevents_ingest_queue_calls"); waiting > 40 {
				t.Errorf("%v calls wait though all are refused", waiting)
			}

			ended := time.Now()
			end()
			back := time.Now()
			eventually(t, "calls are answered again", func() bool { return crowd.answeredAfter(ended) })
			t.Logf("open after %s, %d refused, answered %s after the store was back", open.Sub(dead), len(refused), time.Since(back))
			crowd.settle()
			if got := metric(t, reg, "leadevents_store_breaker_changes_total", "store="+c.label, "to=open"); got < 1 {
				t.Errorf("%v changes to open are counted", got)
			}
			clickHouse, redis := w.process.ingester.Stores()
			if clickHouse.Open() || redis.Open() {
				t.Errorf("/readyz shows %+v, %+v", clickHouse, redis)
			}
		})
	}
}

// Calls that wait in a queue, and the one in flight, are told as soon as it is
// known that the store is dead: they do not wait for the timeout of an insert.
func TestCallsThatWaitAreToldWhenAStoreDies(t *testing.T) {
	for _, examined := range []bool{true, false} { // the ledger, before its store dies
		t.Run(fmt.Sprint("examined=", examined), func(t *testing.T) {
			click := storetest.OwnClickHouse(t)
			w := newWorld(t, func(s *stores) {
				s.ch = click.Store()
				quick(s)
				s.ingest.BulkLanes, s.ingest.Lanes = 1, 1
			})
			if examined {
				w.process.wants(1, 0, "first", events(1, now()))
			}
			w.process.callsThatWait(click)
		})
	}
}

func (p *process) callsThatWait(click *storetest.ClickHouseServer) {
	type waiting struct {
		name string
		list []leadevents.Event
	}
	var calls []waiting
	for i := range 20 {
		n := 1
		if i%2 == 0 {
			n = 2000 // in a lane of its own
		}
		calls = append(calls, waiting{fmt.Sprint("waits", i), events(n, now())})
	}
	click.Pause()
	began := time.Now()
	var all sync.WaitGroup
	for _, c := range calls {
		all.Go(func() {
			_, err := p.ingester.Submit(p.t.Context(), call(c.name, c.list...))
			must503(p.t, err, "(ClickHouse) does not answer")
		})
	}
	all.Wait()
	if took := time.Since(began); took > 5*time.Second { // an insert's timeout is 10 s
		p.t.Errorf("the last was told after %s", took)
	}
	click.Resume()
	for _, c := range calls {
		p.wants(len(c.list), 0, c.name, c.list)
		p.wants(0, len(c.list), c.name, c.list)
	}
}

// proxied is a process whose stores are behind proxies.
func proxied(t *testing.T) (w *world, click, redis *chaos.Proxy, reg *prometheus.Registry) {
	t.Helper()
	proxy := func(addr string) *chaos.Proxy {
		p, err := chaos.NewProxy(func() string { return addr })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return p
	}
	w = newWorld(t, func(s *stores) {
		s.ch = storetest.ClickHouse(t)
		click, redis = proxy(s.ch.Native), proxy(s.redis.Addr)
		s.ch.Native, s.redis.Addr = click.Addr(), redis.Addr()
		reg = quick(s)
	})
	return w, click, redis, reg
}

// A slow store is waited for: not a single call is refused.
func TestASlowStoreIsNotADeadOne(t *testing.T) {
	for _, slow := range []string{"ClickHouse", "Redis"} {
		t.Run(slow, func(t *testing.T) {
			w, click, redis, reg := proxied(t)
			proxy := click
			if slow == "Redis" {
				proxy = redis
			}
			proxy.Disturb(chaos.Delay, 100*time.Millisecond)
			for i := range 3 {
				name, list := fmt.Sprint("slow", i), events(2500, now())
				w.process.wants(2500, 0, name, list)
				w.process.wants(0, 2500, name, list)
			}
			if got := metric(t, reg, "leadevents_store_breaker_changes_total"); got != 0 {
				t.Errorf("the breaker changed %v times", got)
			}
			proxy.Disturb(chaos.Clean, 0)
		})
	}
}

// A store that the network swallows, and one whose connections end at once.
func TestAStoreBehindABrokenNetworkIsRefusedAndComesBack(t *testing.T) {
	for name, c := range map[string]struct {
		mode  chaos.Disturbance
		redis bool
	}{
		"ClickHouse stalls": {mode: chaos.Stall}, "Redis stalls": {mode: chaos.Stall, redis: true},
		"ClickHouse is cut off": {mode: chaos.Refuse}, "Redis is cut off": {mode: chaos.Refuse, redis: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, click, redis, reg := proxied(t)
			proxy, label := click, "clickhouse"
			if c.redis {
				proxy, label = redis, "redis"
			}
			crowd := w.process.crowd(10)
			eventually(t, "calls are answered", func() bool { return crowd.answeredAfter(crowd.begun) })
			proxy.Disturb(c.mode, 0)
			eventually(t, "the breaker is open", func() bool { return metric(t, reg, "leadevents_store_breaker_open", "store="+label) == 1 })
			proxy.Disturb(chaos.Clean, 0)
			back := time.Now()
			eventually(t, "calls are answered again", func() bool { return crowd.answeredAfter(back) })
			crowd.settle()
		})
	}
}
