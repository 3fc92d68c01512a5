package ingest_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"leadevents"
	"leadevents/ingest"
	"leadevents/ingest/ledger"
	"leadevents/internal/storetest"
)

// The tests of this file are the lines of the failure table in
// ingest/ledger/doc.go: each breaks one thing between two sendings of the same
// calls, and holds the answers to what was answered before.

// world is a process with a Redis, and perhaps a ClickHouse, of the test's own.
type world struct {
	*stores
	t       *testing.T
	redis   *storetest.RedisServer
	click   *storetest.ClickHouseServer // only with ownClickHouse
	process *process
}

func newWorld(t *testing.T, configure ...func(*stores)) *world {
	t.Helper()
	t.Parallel() // most of it is waiting
	w := &world{t: t, redis: storetest.OwnRedis(t)}
	w.stores = &stores{redis: w.redis.Store()}
	w.ledger.HeartbeatEvery = 200 * time.Millisecond
	w.ledger.Timeout = 2 * time.Second
	for _, change := range configure {
		change(w.stores)
	}
	if w.ch.Native == "" {
		w.ch = storetest.ClickHouse(t)
	}
	w.process = w.start(t)
	return w
}

// newWorldOfItsOwn has an engine of its own, to be halted and restored.
func newWorldOfItsOwn(t *testing.T) *world {
	t.Helper()
	click := storetest.OwnClickHouse(t)
	w := newWorld(t, func(s *stores) { s.ch = click.Store() })
	w.click = click
	return w
}

// client is a Redis connection of the test.
func (w *world) client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: w.stores.redis.Addr, Password: w.stores.redis.Password, Protocol: 2})
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *world) flush() {
	w.t.Helper()
	if err := w.client().FlushAll(w.t.Context()).Err(); err != nil {
		w.t.Fatal(err)
	}
}

// try submits until it is answered with anything but 503.
func (p *process) try(make func() *ingest.Call) ingest.Result {
	p.t.Helper()
	result, _ := p.tries(make)
	return result
}

// tries says also how often it was not answered.
func (p *process) tries(make func() *ingest.Call) (ingest.Result, int) {
	p.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for unanswered := 0; ; unanswered++ {
		result, err := p.ingester.Submit(p.t.Context(), make())
		if err == nil {
			return result, unanswered
		}
		if leadevents.KindOf(err) != leadevents.Unavailable || time.Now().After(deadline) {
			p.t.Fatalf("submit: %v", err)
		}
		select {
		case <-p.t.Context().Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// wants submits until it is answered, with these numbers. Rows that an unanswered
// try has stored may be duplicates for the next: told inserted at most once.
func (p *process) wants(inserted, duplicates int, eventType string, list []leadevents.Event) {
	p.t.Helper()
	result, unanswered := p.tries(func() *ingest.Call { return call(eventType, list...) })
	if unanswered > 0 && result.Inserted < inserted && result.Inserted+result.Duplicates == inserted+duplicates {
		p.t.Logf("%s: %d of %d were stored by one of %d unanswered tries", eventType, inserted-result.Inserted, inserted, unanswered)
		return
	}
	if result.Inserted != inserted || result.Duplicates != duplicates {
		p.t.Fatalf("%s: inserted %d, duplicates %d; want %d and %d", eventType, result.Inserted, result.Duplicates, inserted, duplicates)
	}
}

// until waits for a condition of the ledger.
func (p *process) until(what string, holds func(ledger.Status) bool) ledger.Status {
	p.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		status := p.ledger.Status()
		if holds(status) {
			return status
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the ledger is not %s after a minute: %+v", what, status)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func trusted(s ledger.Status) bool { return s.State == ledger.Trusted }

// history is what was sent and answered before the fault: live, old and future
// events, in calls of both lanes.
type history struct {
	names []string
	lists [][]leadevents.Event
}

func (p *process) history() history {
	p.t.Helper()
	h := history{
		names: []string{"live", "old", "future", "one"},
		lists: [][]leadevents.Event{
			events(3000, now()-60_000), events(2000, now().Add(-800*24*time.Hour)),
			events(1500, now().Add(90*24*time.Hour)), {event(1, now())},
		},
	}
	for i, name := range h.names {
		p.wants(len(h.lists[i]), 0, name, h.lists[i])
	}
	return h
}

// again sends everything again: all are duplicates, and what is new is counted.
func (p *process) again(h history) {
	p.t.Helper()
	for i, name := range h.names {
		n := len(h.lists[i])
		p.wants(0, n, name, h.lists[i])
		more := append(h.lists[i][:n:n], event(1_000_000+n, h.lists[i][0].OccurredAt))
		p.wants(1, n, name, more)
		p.wants(0, n+1, name, more)
		h.lists[i] = more
	}
}

// survives holds that the answers stay right after the fault, while the ledger
// is suspect and rebuilt, and when it is trusted again; and that the fault was
// noticed for the reason it is.
func (w *world) survives(h history, fault func(), reason string) {
	w.t.Helper()
	before := w.process.ledger.Status()
	fault()
	w.process.again(h)
	w.noticed(before, reason)
	w.process.again(h)
	want := 0
	for _, list := range h.lists {
		want += len(list)
	}
	if got := w.process.stored(); got != want {
		w.t.Fatalf("%d keys are stored, want %d", got, want)
	}
}

// noticed waits until the ledger has been suspect for the reason, and is trusted.
func (w *world) noticed(before ledger.Status, reason string) {
	w.t.Helper()
	after := w.process.until("trusted in another epoch", func(s ledger.Status) bool { return trusted(s) && s.Epoch != before.Epoch })
	if !strings.Contains(after.LastReason, reason) {
		w.t.Fatalf("the ledger became suspect because %q; want %q in it", after.LastReason, reason)
	}
}

func TestFaultRedisIsFlushed(t *testing.T) {
	w := newWorld(t)
	w.survives(w.process.history(), w.flush, "Redis is empty")
}

func TestFaultRedisIsReplacedByAnEmptyOne(t *testing.T) {
	w := newWorld(t)
	w.survives(w.process.history(), w.redis.Replace, "Redis is empty")
}

func TestFaultTheTailOfRedisLogIsLost(t *testing.T) {
	w := newWorld(t)
	h := w.process.history()
	before := w.client().DBSize(t.Context()).Val()
	w.survives(h, func() {
		w.redis.Halt()
		w.redis.CutLog(60_000)
		w.redis.Start()
		if after := w.client().DBSize(t.Context()).Val(); after >= before {
			t.Fatalf("nothing was lost: %d keys before, %d after", before, after)
		}
	}, "Redis")
}

func TestFaultRedisIsKilled(t *testing.T) {
	w := newWorld(t)
	w.survives(w.process.history(), func() {
		pid := w.redis.Endpoint().PID
		w.redis.Kill()
		w.redis.Await(pid)
	}, "Redis was restarted")
}

func TestFaultRedisIsRestoredFromAnOldBackup(t *testing.T) {
	w := newWorld(t)
	h := w.process.history()
	w.redis.Halt()
	saved := w.redis.Save()
	w.redis.Start()
	late := events(600, now())
	w.process.wants(600, 0, "late", late) // the restart gave the trust record a new number
	w.survives(history{append(h.names, "late"), append(h.lists, late)}, func() {
		w.redis.Halt()
		w.redis.Restore(saved)
		w.redis.Start()
	}, "Redis has gone back in time")
}

// The replica has not got the last seconds when it is made the master.
func TestFaultRedisFailsOver(t *testing.T) {
	replica := storetest.OwnRedis(t)
	w := newWorld(t)
	ctx, master, second := t.Context(), w.client(), redis.NewClient(&redis.Options{Addr: replica.Store().Addr, Password: replica.Store().Password, Protocol: 2})
	defer second.Close()
	host, port, _ := strings.Cut(w.stores.redis.Addr, ":")
	for _, err := range []error{
		second.ConfigSet(ctx, "masterauth", w.stores.redis.Password).Err(),
		second.Do(ctx, "REPLICAOF", host, port).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// Its first replica gives a Redis another replication id: that is to be over.
	eventually(t, "trusted with a replica", func() bool {
		info := master.InfoMap(ctx, "replication").Val()["Replication"]
		record := master.Get(ctx, "trust").Val()
		return info["connected_slaves"] == "1" && strings.Contains(info["slave0"], "state=online") &&
			strings.Contains(record, `"`+info["master_replid"]+`"`) && strings.Contains(record, `"state":"trusted"`)
	})
	early := w.process.history()
	if n, err := master.Wait(ctx, 1, time.Minute).Result(); err != nil || n != 1 {
		t.Fatalf("%d replicas (%v)", n, err)
	}
	if err := second.Do(ctx, "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	late := events(500, now())
	w.process.wants(500, 0, "late", late)

	// The address now leads to the former replica, and old connections are gone.
	w.redis.Halt()
	forward(t, w.stores.redis.Addr, replica.Store().Addr)
	if err := second.ConfigSet(ctx, "requirepass", w.stores.redis.Password).Err(); err != nil {
		t.Fatal(err)
	}
	w.survives(history{append(early.names, "late"), append(early.lists, late)}, func() {}, "Redis was restarted")
}

// Between a peek and its seal everything is forgotten; nothing is told inserted
// that another could be told too.
func TestFaultRedisIsFlushedBetweenAPeekAndItsSeal(t *testing.T) {
	var (
		w    *world
		once sync.Once
	)
	between := &betweenStore{before: func() { once.Do(w.flush) }}
	w = newWorld(t, func(s *stores) { s.betweenStore = between.wrap })
	list := events(2000, now())
	before := w.process.until("trusted", trusted)
	_, err := w.process.ingester.Submit(t.Context(), call("cut", list...))
	if leadevents.KindOf(err) != leadevents.Unavailable {
		t.Fatalf("got %v, want a 503", err)
	}
	w.noticed(before, "Redis is empty")
	// Its rows are stored, and it was told nothing: they count once at most. Not at all
	// where the next finds them while the ledger is in doubt; once where that was over
	// before they were stored.
	if result := w.process.try(func() *ingest.Call { return call("cut", list...) }); result.Inserted != 0 && result.Inserted != 2000 {
		t.Fatalf("%d were inserted", result.Inserted)
	}
	w.process.wants(0, 2000, "cut", list)
	if got := w.process.stored(); got != 2000 {
		t.Fatalf("%d keys are stored, want 2000", got)
	}
}

// A and B store the same keys; A seals and is told inserted, all is forgotten,
// then B seals: B must not be told inserted too.
func TestFaultRedisIsFlushedBetweenTwoSeals(t *testing.T) {
	w := newWorld(t)
	stored, flushed := make(chan struct{}), make(chan struct{})
	between := &betweenStore{after: func() { close(stored); <-flushed }}
	w.betweenStore = between.wrap
	slow := w.start(t)
	list := events(2000, now())
	failed := make(chan error, 1)
	go func() {
		_, err := slow.ingester.Submit(context.Background(), call("race", list...))
		failed <- err
	}()
	<-stored
	w.process.wants(2000, 0, "race", list)
	w.flush()
	close(flushed)
	if err := <-failed; leadevents.KindOf(err) != leadevents.Unavailable {
		t.Fatalf("the slow one got %v, want a 503", err)
	}
	w.process.wants(0, 2000, "race", list)
	w.process.until("trusted", trusted)
	w.process.wants(0, 2000, "race", list)
}

func TestFaultClickHouseIsKilled(t *testing.T) {
	w := newWorldOfItsOwn(t)
	h := w.process.history()
	pid := w.click.Endpoint().PID
	w.click.Kill()
	w.click.Await(pid)
	w.process.again(h)
	if s := w.process.ledger.Status(); !trusted(s) {
		t.Fatalf("a ClickHouse that lost nothing made the ledger %+v", s)
	}
}

// What was answered after the snapshot is gone from ClickHouse. Sent again it is
// new again: told duplicate, it would be lost for good.
func TestFaultClickHouseIsRestoredFromASnapshot(t *testing.T) {
	for name, wait := range map[string]bool{"of a moment ago": false, "of several heartbeats ago": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOfItsOwn(t)
			h := w.process.history()
			w.click.Halt()
			saved := w.click.Save()
			w.click.Start()
			lost := events(700, now())
			w.process.wants(700, 0, "lost", lost)
			if wait {
				w.beats(12)
			}
			before := w.process.ledger.Status()
			w.click.Halt()
			w.click.Restore(saved)
			w.click.Start()
			w.process.wants(700, 0, "lost", lost)
			w.process.wants(0, 700, "lost", lost)
			w.process.again(h)
			w.noticed(before, "ClickHouse has gone back in time")
			w.process.again(h)
			w.process.wants(0, 700, "lost", lost)
		})
	}
}

// beats waits until n heartbeats have gone by.
func (w *world) beats(n int) {
	w.t.Helper()
	c := w.client()
	seen := map[string]bool{}
	deadline := time.Now().Add(time.Minute)
	for len(seen) <= n {
		seen[c.Get(w.t.Context(), "beat").Val()] = true
		if time.Now().After(deadline) {
			w.t.Fatal("the heart does not beat")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestFaultTheTableIsAnother(t *testing.T) {
	w := newWorld(t)
	list := events(800, now())
	w.process.wants(800, 0, "gone", list)
	before := w.process.ledger.Status()
	for _, statement := range []string{"RENAME TABLE lead_events TO former", "CREATE TABLE lead_events AS former"} {
		if err := w.process.db.Conn().Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	w.noticed(before, "another table")
	w.process.wants(800, 0, "gone", list)
}

func TestFaultRedisEvictsKeys(t *testing.T) {
	w := newWorld(t)
	h := w.process.history()
	c := w.client()
	set := func(name, value string) {
		if err := c.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	w.survives(h, func() {
		set("maxmemory-policy", "volatile-random")
		set("maxmemory", "1mb")
		eventually(t, "a key is evicted", func() bool {
			c.Set(t.Context(), "more", "x", 0)
			return c.InfoMap(t.Context(), "stats").Val()["Stats"]["evicted_keys"] != "0"
		})
		set("maxmemory", "0")
		set("maxmemory-policy", "noeviction")
	}, "evicted")
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within three minutes: %s", what)
		}
	}
}

// betweenStore does something before or after every insert.
type betweenStore struct {
	ingest.Store
	before, after func()
}

func (b *betweenStore) wrap(s ingest.Store) ingest.Store {
	return &betweenStore{Store: s, before: b.before, after: b.after}
}

func (b *betweenStore) InsertEvents(ctx context.Context, rows *leadevents.Rows, token, queryID string) error {
	if b.before != nil {
		b.before()
	}
	err := b.Store.InsertEvents(ctx, rows, token, queryID)
	if b.after != nil {
		b.after()
	}
	return err
}

// forward makes an address lead to another server, until the test ends.
func forward(t *testing.T, from, to string) {
	t.Helper()
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	pipe := func(a, b net.Conn) {
		_, _ = io.Copy(a, b)
		_ = a.Close()
		_ = b.Close()
	}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
			go pipe(near, far)
			go pipe(far, near)
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
}
