package limits

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"leadevents"
	"leadevents/internal/storetest"
)

// limiters are two processes.
func limiters(t *testing.T, addr, password, prefix string, configure ...func(*Config)) (a, b *Limiter) {
	t.Helper()
	cfg := Config{Addr: addr, Password: password, Prefix: prefix, Timeout: 5 * time.Second}
	for _, change := range configure {
		change(&cfg)
	}
	return limiter(t, cfg), limiter(t, cfg)
}

func limiter(t testing.TB, cfg Config) *Limiter {
	t.Helper()
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// nowhere is an address at which nobody listens.
func nowhere(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// both runs a test with Redis, and where nothing answers.
func both(t *testing.T, test func(t *testing.T, a, b *Limiter, shared bool)) {
	t.Run("Redis", func(t *testing.T) {
		store := storetest.Redis(t)
		a, b := limiters(t, store.Addr, store.Password, store.Prefix)
		test(t, a, b, true)
	})
	t.Run("no Redis", func(t *testing.T) {
		a, b := limiters(t, nowhere(t), "", "")
		test(t, a, b, false)
	})
}

func requests(n int) *leadevents.Limits { return &leadevents.Limits{leadevents.RequestsPerSecond: n} }
func rows(n int) *leadevents.Limits     { return &leadevents.Limits{leadevents.RowsPerSecond: n} }
func bodies(n int) *leadevents.Limits   { return &leadevents.Limits{leadevents.BodiesInFlight: n} }

var (
	oneRequest = Want{Requests: 1}
	oneBody    = Want{Place: leadevents.BodiesInFlight}
)

// passes asks, and fails the test for an error that is not the limit's.
func passes(t testing.TB, l *Limiter, org leadevents.OrgID, limits *leadevents.Limits, want Want) (wait time.Duration, ok bool) {
	t.Helper()
	release, err := l.Admit(t.Context(), org, limits, want)
	if release != nil {
		t.Cleanup(release)
	}
	if err == nil {
		return 0, true
	}
	e, isOurs := err.(*leadevents.Error)
	if !isOurs || e.Kind != leadevents.RateLimited {
		t.Fatal(err)
	}
	return e.RetryAfter, false
}

// A second's allowance at once, and then by and by; each organization for itself.
func TestARate(t *testing.T) {
	both(t, func(t *testing.T, a, b *Limiter, shared bool) {
		began, passed := time.Now(), 0
		for passed < 1000 {
			if _, ok := passes(t, a, 1, requests(10), oneRequest); !ok {
				break
			}
			passed++
		}
		if most := 10 + int(time.Since(began).Seconds()*10); passed < 10 || passed > most {
			t.Fatalf("%d passed at once, want 10 to %d", passed, most)
		}
		if _, ok := passes(t, a, 2, requests(10), oneRequest); !ok {
			t.Error("a limit holds for another organization too")
		}
		if _, ok := passes(t, b, 1, requests(10), oneRequest); ok == shared && time.Since(began) < 90*time.Millisecond {
			t.Errorf("another process passes: %t", ok)
		}
		wait, ok := passes(t, a, 1, requests(10), oneRequest)
		for ok { // a tenth of a second has gone, and brought one
			wait, ok = passes(t, a, 1, requests(10), oneRequest)
		}
		if wait > 101*time.Millisecond {
			t.Errorf("come again after %s, but a tenth of a second brings one", wait)
		}
		time.Sleep(wait) // the claim is that this is long enough
		if again, ok := passes(t, a, 1, requests(10), oneRequest); !ok {
			t.Errorf("after %s as told: come again after %s", wait, again)
		}
	})
}

// However many ask at once of two processes, no more pass than the rate allows, and
// hardly fewer.
func TestNoMorePassesThanTheRateAllows(t *testing.T) {
	store := storetest.Redis(t)
	a, b := limiters(t, store.Addr, store.Password, store.Prefix)
	const rate = 200
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var passed atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for i := range 20 {
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := []*Limiter{a, b}[i%2].Admit(t.Context(), 1, requests(rate), oneRequest); err == nil {
					passed.Add(1)
				} else {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	all.Wait()
	elapsed := time.Since(began).Seconds()
	if most := rate + rate*elapsed; float64(passed.Load()) > most || float64(passed.Load()) < 0.8*most {
		t.Errorf("%d passed within %.2f s, want at most %.0f, and nearly that", passed.Load(), elapsed, most)
	}
}

// A call that is larger than the allowance passes, and is paid for afterwards; so is
// one that tells of its rows as they come.
func TestALargeCallIsPaidForAfterwards(t *testing.T) {
	both(t, func(t *testing.T, a, _ *Limiter, _ bool) {
		if _, ok := passes(t, a, 1, rows(1000), Want{Rows: 50_000}); !ok {
			t.Fatal("a call of 50,000 rows is impossible")
		}
		for _, want := range []Want{{Rows: 1}, {Rows: SomeRows}, {Requests: 1, Rows: 50_000}} {
			if wait, ok := passes(t, a, 1, rows(1000), want); ok || wait < 40*time.Second || wait > 49_002*time.Millisecond {
				t.Errorf("%+v passes: %t, after %s; want just under 49 s", want, ok, wait)
			}
		}
		if _, ok := passes(t, a, 2, rows(1000), Want{Rows: SomeRows}); !ok {
			t.Fatal("an upload is refused where nothing is owed")
		}
		for range 3 { // never refused: it is there already
			a.Charge(t.Context(), 2, rows(1000), 20_000)
		}
		if wait, ok := passes(t, a, 2, rows(1000), Want{Rows: 1}); ok || wait < 50*time.Second || wait > 59_002*time.Millisecond {
			t.Errorf("after an upload of 60,000: passes: %t, after %s; want just under 59 s", ok, wait)
		}
	})
}

// All or nothing: what one limit refuses takes nothing of the others.
func TestWhatIsRefusedTakesNothing(t *testing.T) {
	both(t, func(t *testing.T, a, _ *Limiter, _ bool) {
		all := &leadevents.Limits{leadevents.RequestsPerSecond: 5, leadevents.RowsPerSecond: 10, leadevents.BodiesInFlight: 1}
		want := Want{Requests: 1, Rows: 100_000, Place: leadevents.BodiesInFlight}
		release, err := a.Admit(t.Context(), 1, all, want)
		if err != nil || release == nil {
			t.Fatal(err)
		}
		for limit, of := range map[leadevents.Limit]Want{
			leadevents.RowsPerSecond:  want,
			leadevents.BodiesInFlight: {Requests: 1, Place: leadevents.BodiesInFlight},
		} {
			for range 20 {
				_, err := a.Admit(t.Context(), 1, all, of)
				if err == nil || !strings.Contains(err.Error(), "("+limit.String()+")") {
					t.Fatalf("%+v: %v; want a refusal by %s", of, err, limit)
				}
			}
		}
		release()
		if _, ok := passes(t, a, 1, all, Want{Requests: 1, Place: leadevents.BodiesInFlight}); !ok {
			t.Error("refused calls have taken requests, or a place that was given back")
		}
	})
}

// However many ask at once, no more hold a place than there are; a place that is
// given back is free.
func TestPlaces(t *testing.T) {
	both(t, func(t *testing.T, a, b *Limiter, shared bool) {
		limiters, places := []*Limiter{a, b}, 3
		if !shared {
			limiters = []*Limiter{a}
		}
		var holding, most atomic.Int64
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				for range 50 {
					release, err := limiters[i%len(limiters)].Admit(t.Context(), 1, bodies(places), oneBody)
					if err != nil {
						continue
					}
					n := holding.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					holding.Add(-1)
					release()
					release() // once is enough
				}
			})
		}
		all.Wait()
		if m := most.Load(); m > int64(places) || m == 0 {
			t.Errorf("%d held a place at once, there are %d", m, places)
		}
		var held []func()
		for range places {
			release, err := a.Admit(t.Context(), 1, bodies(places), oneBody)
			if err != nil {
				t.Fatalf("%d of %d places are taken, and nobody holds one", places-len(held), places)
			}
			held = append(held, release)
		}
		if _, ok := passes(t, a, 1, bodies(places), oneBody); ok {
			t.Error("one place too many")
		}
		for _, release := range held {
			release()
		}
		if _, ok := passes(t, a, 1, bodies(1), oneBody); !ok {
			t.Error("places were not given back")
		}
	})
}

// A place is kept beyond its lease by who lives, and not by who died.
func TestAPlaceOutlivesItsProcessByTheLease(t *testing.T) {
	store := storetest.Redis(t)
	a, dies := limiters(t, store.Addr, store.Password, store.Prefix, func(c *Config) { c.Lease = 300 * time.Millisecond })
	release, err := a.Admit(t.Context(), 1, bodies(2), oneBody)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	// As a process that dies: it neither renews nor gives back.
	keys, q := dies.keys(1, leadevents.BodiesInFlight), newQuestion(bodies(2), oneBody)
	if answer, ok := dies.ask(t.Context(), admitScript, keys, q.args(newPlace(dies, keys[2]), dies.cfg.Lease)...); !ok || answer[0] != 0 {
		t.Fatalf("%d, %t", answer, ok)
	}
	if _, ok := passes(t, a, 1, bodies(2), oneBody); ok {
		t.Fatal("a third place of two")
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, ok := passes(t, a, 1, bodies(2), oneBody); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the dead process' place is not free again")
		}
	}
	if _, ok := passes(t, a, 1, bodies(2), oneBody); ok {
		t.Error("the living process has lost its place")
	}
}

// A Redis that comes back counts again, for both processes; a place that was given
// back while it was away is free long before its lease ends.
func TestALimitIsSharedAgainWhenRedisIsBack(t *testing.T) {
	server := storetest.OwnRedis(t)
	store := server.Store()
	a, b := limiters(t, store.Addr, store.Password, "", func(c *Config) { c.Pause, c.Timeout, c.Lease = 50*time.Millisecond, 2*time.Second, time.Hour })
	reg := prometheus.NewRegistry()
	if err := a.register(reg); err != nil {
		t.Fatal(err)
	}
	release, err := a.Admit(t.Context(), 1, bodies(1), oneBody)
	if err != nil {
		t.Fatal(err)
	}
	server.Halt()
	release()
	large := Want{Rows: 1_000_000}
	for name, l := range map[string]*Limiter{"a": a, "b": b} {
		if _, ok := passes(t, l, 1, rows(10), large); !ok {
			t.Fatalf("%s refuses its first call without Redis", name)
		}
		if _, ok := passes(t, l, 1, rows(10), large); ok {
			t.Fatalf("%s limits nothing without Redis", name)
		}
	}
	if a.asleep.Load() == 0 {
		t.Error("nobody is told that Redis does not answer")
	}
	server.Start()
	eventually := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within 30 s: %s", what)
			}
		}
	}
	eventually("Redis is back, and asked", func() bool { _, ok := passes(t, a, 1, rows(10), large); return ok })
	eventually("Redis is asked by the other too", func() bool { passes(t, b, 2, requests(1), oneRequest); return b.asleep.Load() == 0 })
	if _, ok := passes(t, b, 1, rows(10), Want{Rows: 1}); ok {
		t.Error("the other process counts for itself")
	}
	eventually("the place is given back", func() bool { _, ok := passes(t, b, 1, bodies(1), oneBody); return ok })
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP leadevents_limits_local 1 while this process counts limits for itself, because Redis does not answer.
# TYPE leadevents_limits_local gauge
leadevents_limits_local 0
`), "leadevents_limits_local"); err != nil {
		t.Error(err)
	}
}

// A Redis that stands still costs a call its Timeout, and the others nothing.
func TestARedisThatStandsStillIsWaitedForOnce(t *testing.T) {
	server := storetest.OwnRedis(t)
	store := server.Store()
	l := limiter(t, Config{Addr: store.Addr, Password: store.Password, Timeout: 200 * time.Millisecond, Pause: time.Hour})
	for deadline := time.Now().Add(30 * time.Second); ; { // a busy machine may be that slow
		l.asleep.Store(0)
		if passes(t, l, 1, requests(1000), oneRequest); l.asleep.Load() == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("Redis does not answer within 200 ms, for half a minute")
		}
	}
	server.Pause()
	defer server.Resume()
	began := time.Now()
	if _, ok := passes(t, l, 1, requests(1000), oneRequest); !ok {
		t.Error("refused for Redis' sake")
	}
	if waited := time.Since(began); waited < 190*time.Millisecond {
		t.Errorf("waited %s: Redis was not asked", waited)
	}
	began = time.Now()
	for range 1000 {
		passes(t, l, 1, requests(1_000_000), oneRequest)
	}
	if waited := time.Since(began); waited > 200*time.Millisecond*100 { // a tenth of what they would wait
		t.Errorf("1,000 calls more waited %s", waited)
	}
}

// What is not limited asks nobody, and what is refused is counted by its limit.
func TestNothingIsAskedWhereNothingIsLimited(t *testing.T) {
	l := limiter(t, Config{Addr: nowhere(t)})
	for name, limits := range map[string]*leadevents.Limits{
		"none": nil, "zero": {}, "others": {leadevents.StoredAudiences: 1, leadevents.ConcurrentExports: 1},
	} {
		release, err := l.Admit(t.Context(), 1, limits, Want{Requests: 1, Rows: 50_000, Place: leadevents.BodiesInFlight})
		if release != nil || err != nil || l.asleep.Load() != 0 {
			t.Errorf("%s: %v; Redis was asked: %t", name, err, l.asleep.Load() != 0)
		}
	}
	var off *Limiter
	off.Charge(t.Context(), 1, rows(1), 5)
	if _, err := off.Admit(t.Context(), 1, rows(1), Want{Rows: 5}); err != nil {
		t.Error(err)
	}
	limits := &leadevents.Limits{1, 1, 1, 1, 1}
	for _, limit := range []leadevents.Limit{leadevents.RequestsPerSecond, leadevents.RowsPerSecond, leadevents.BodiesInFlight, leadevents.ConcurrentExports} {
		want := map[leadevents.Limit]Want{
			leadevents.RequestsPerSecond: {Requests: 1}, leadevents.RowsPerSecond: {Rows: 2},
			leadevents.BodiesInFlight: oneBody, leadevents.ConcurrentExports: {Place: leadevents.ConcurrentExports},
		}[limit]
		passes(t, l, leadevents.OrgID(10+limit), limits, want)
		_, err := l.Admit(t.Context(), leadevents.OrgID(10+limit), limits, want)
		if leadevents.KindOf(err) != leadevents.RateLimited || !strings.Contains(err.Error(), limit.String()) || !strings.Contains(err.Error(), " 1 ") {
			t.Errorf("%s: %v", limit, err)
		}
		if n := testutil.ToFloat64(l.Refusals(limit)); n != 1 {
			t.Errorf("%s: %v refusals are counted", limit, n)
		}
	}
}

// What a process counts for itself is bounded.
func TestCountingForOneselfIsBounded(t *testing.T) {
	l := newLocal(time.Now)
	for i := range maxKept + 1000 {
		l.admit([]string{string(rune(i)), "", ""}, newQuestion(requests(1), oneRequest))
	}
	if n := len(l.buckets); n > maxKept {
		t.Errorf("%d buckets are kept", n)
	}
}

func BenchmarkAdmit(b *testing.B) {
	store := storetest.Redis(b)
	l := limiter(b, Config{Addr: store.Addr, Password: store.Password, Prefix: store.Prefix, Timeout: 5 * time.Second})
	want := Want{Requests: 1, Rows: 100}
	for _, c := range []struct {
		name   string
		limits *leadevents.Limits
	}{
		{"off", nil},
		{"requests", &leadevents.Limits{1_000_000}},
		{"requests and rows", &leadevents.Limits{1_000_000, 10_000_000}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			ctx := context.Background()
			for b.Loop() {
				if _, err := l.Admit(ctx, 1, c.limits, want); err != nil && c.limits == nil {
					b.Fatal(err)
				}
			}
		})
	}
}
