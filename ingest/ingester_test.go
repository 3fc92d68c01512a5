package ingest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"leadevents"
	"leadevents/clickhouse"
	"leadevents/clickhouse/schema"
	"leadevents/ingest"
	"leadevents/ingest/ledger"
	"leadevents/internal/storetest"
)

// process is one server process' write path on real stores.
type process struct {
	t        testing.TB
	db       *clickhouse.DB
	ledger   *ledger.Ledger
	ingester *ingest.Ingester
	stop     func() // in order; the test's end does it too
}

// stores is what several processes share.
type stores struct {
	ch     storetest.ClickHouseStore
	redis  storetest.RedisStore
	ledger ledger.Config // horizons and layout; addresses are filled in
	ingest ingest.Config
	// What stands between the ingester and its stores, if anything.
	betweenStore  func(ingest.Store) ingest.Store
	betweenLedger func(ingest.Ledger) ingest.Ledger
}

func newStores(t testing.TB) *stores {
	return &stores{ch: storetest.ClickHouse(t), redis: storetest.Redis(t)}
}

func (s *stores) openDB(t testing.TB) *clickhouse.DB {
	t.Helper()
	db, err := clickhouse.Open(clickhouse.Config{Addrs: []string{s.ch.Native}, Database: s.ch.Database, User: s.ch.User, Password: s.ch.Password})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// start starts a process; it is stopped with the test.
func (s *stores) start(t testing.TB) *process {
	t.Helper()
	p := &process{t: t, db: s.openDB(t)}
	if err := schema.Migrate(t.Context(), p.db.Conn(), s.ch.Database); err != nil {
		t.Fatal(err)
	}
	cfg := s.ledger
	cfg.Addr, cfg.Password, cfg.Prefix = s.redis.Addr, s.redis.Password, s.redis.Prefix
	var err error
	if p.ledger, err = ledger.New(cfg, p.db); err != nil {
		t.Fatal(err)
	}
	var (
		store      ingest.Store  = p.db
		remembered ingest.Ledger = p.ledger
	)
	if s.betweenStore != nil {
		store = s.betweenStore(store)
	}
	if s.betweenLedger != nil {
		remembered = s.betweenLedger(remembered)
	}
	bounds := s.ingest
	if bounds.Silence == 0 {
		// These tests do not try again: a busy machine must not look like a dead store.
		bounds.Silence = 20 * time.Second
	}
	p.ingester = ingest.New(bounds, store, remembered)
	p.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.ingester.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := p.ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

func call(eventType string, events ...leadevents.Event) *ingest.Call {
	return &ingest.Call{Org: 42, EventType: eventType, Received: len(events), Events: events}
}

func event(phone int, at leadevents.Millis) leadevents.Event {
	return leadevents.Event{Phone: leadevents.Phone(15550000000 + phone), OccurredAt: at, Metadata: []byte(`{}`)}
}

// events are n events a millisecond apart.
func events(n int, at leadevents.Millis) []leadevents.Event {
	list := make([]leadevents.Event, n)
	for i := range list {
		list[i] = event(i, at+leadevents.Millis(i))
	}
	return list
}

func (p *process) submit(c *ingest.Call) ingest.Result {
	p.t.Helper()
	result, err := p.ingester.Submit(p.t.Context(), c)
	if err != nil {
		p.t.Fatalf("submit: %v", err)
	}
	if result.Received != result.Inserted+result.Duplicates+result.Rejected {
		p.t.Fatalf("received %d = %d + %d + %d does not hold", result.Received, result.Inserted, result.Duplicates, result.Rejected)
	}
	return result
}

func (p *process) expect(c *ingest.Call, inserted, duplicates int) ingest.Result {
	p.t.Helper()
	result := p.submit(c)
	if result.Inserted != inserted || result.Duplicates != duplicates {
		p.t.Fatalf("inserted %d, duplicates %d; want %d and %d", result.Inserted, result.Duplicates, inserted, duplicates)
	}
	return result
}

// stored counts the distinct keys in ClickHouse.
func (p *process) stored() int {
	p.t.Helper()
	var n uint64
	row := p.db.Conn().QueryRow(context.Background(), `SELECT uniqExact(organization_id, event_type, phone, occurred_at) FROM lead_events`)
	if err := row.Scan(&n); err != nil {
		p.t.Fatal(err)
	}
	return int(n)
}

func now() leadevents.Millis { return leadevents.MillisOf(time.Now()) }

func TestSendingAgainAnswersDuplicates(t *testing.T) {
	p := newStores(t).start(t)
	for _, tc := range []struct {
		name string
		at   leadevents.Millis
		n    int
	}{
		{"one live event", now(), 1},
		{"a big live call", now() - 100_000, 5000},
		{"a big old call", leadevents.MillisOf(time.Date(2015, 3, 1, 0, 0, 0, 0, time.UTC)), 5000},
		{"the far future", leadevents.MaxOccurredAt - 10_000, 2000},
		{"the beginning of time", leadevents.MinOccurredAt, 2000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list := events(tc.n, tc.at)
			p.expect(call(tc.name, list...), tc.n, 0)
			p.expect(call(tc.name, list...), 0, tc.n)
			p.expect(call(tc.name, append(list, event(-1, tc.at))...), 1, tc.n)
		})
	}
	if want := 1 + 5000 + 5000 + 2000 + 2000 + 5; p.stored() != want {
		t.Fatalf("%d keys stored, want %d", p.stored(), want)
	}
}

func TestAKeyThatRepeatsInsideARequestIsInsertedOnce(t *testing.T) {
	p := newStores(t).start(t)
	at := now()
	p.expect(call("repeat", event(1, at), event(1, at), event(2, at), event(1, at)), 2, 2)
	p.expect(call("repeat", event(1, at), event(1, at)), 0, 2)
}

func TestTheSameKeyInAnotherOrganizationOrTypeIsAnotherKey(t *testing.T) {
	p := newStores(t).start(t)
	at := now()
	p.expect(call("a", event(1, at)), 1, 0)
	p.expect(call("A", event(1, at)), 1, 0)
	p.expect(call("a ", event(1, at)), 1, 0)
	other := call("a", event(1, at))
	other.Org = 7
	p.expect(other, 1, 0)
	old := at.Add(-200 * 24 * time.Hour)
	for _, name := range []string{"tab\there", "quote'", `back\slash`, "new\nline", "😀", "nul\x00", "{x:String}"} {
		p.expect(call(name, event(1, at), event(1, old)), 2, 0)
		p.expect(call(name, event(1, at), event(1, old)), 0, 2)
	}
}

// Promise 2: three processes, clients that send the same overlapping batches to
// all of them at once.
func TestCountsAreExactAcrossProcesses(t *testing.T) {
	s := newStores(t)
	processes := []*process{s.start(t), s.start(t), s.start(t)}
	base := now()
	var (
		mu       sync.Mutex
		total    int
		distinct = map[leadevents.Key]bool{}
		clients  sync.WaitGroup
	)
	for client := range 12 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(client/3))) // three clients send the same
			for round := range 8 {
				n := 1 + random.IntN(60)
				if round%4 == 3 {
					n = 1500 // a big call, in a lane of its own
				}
				list := make([]leadevents.Event, n)
				for i := range list {
					at := base + leadevents.Millis(random.IntN(5))
					if random.IntN(2) == 0 {
						at = at.Add(-400 * 24 * time.Hour)
					}
					list[i] = event(random.IntN(800), at)
				}
				c := call("overlap", list...)
				result := processes[client%3].submit(c)
				mu.Lock()
				total += result.Inserted
				for _, e := range list {
					distinct[leadevents.Key{Org: 42, EventType: "overlap", Phone: e.Phone, OccurredAt: e.OccurredAt}] = true
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	if got := processes[0].stored(); got != len(distinct) || total != len(distinct) {
		t.Fatalf("%d keys sent, %d stored, %d counted inserted", len(distinct), got, total)
	}
}

func TestDryRunStoresAndRemembersNothing(t *testing.T) {
	p := newStores(t).start(t)
	at := now()
	p.expect(call("dry", event(1, at)), 1, 0)
	for range 2 {
		c := call("dry", event(1, at), event(2, at), event(2, at), event(3, at.Add(-900*24*time.Hour)))
		c.DryRun, c.IdempotencyKey = true, "ignored"
		if result := p.expect(c, 2, 2); result.Batch != 0 {
			t.Fatalf("a dry run has batch %s", result.Batch)
		}
	}
	if p.stored() != 1 {
		t.Fatalf("%d keys stored, want 1", p.stored())
	}
}

func TestIdempotencyKeyAnswersTheSameAgain(t *testing.T) {
	p := newStores(t).start(t)
	at := now()
	keyed := func(key string, body byte, list ...leadevents.Event) *ingest.Call {
		c := call("keyed", list...)
		c.IdempotencyKey, c.BodyHash = key, [16]byte{body}
		c.Received++
		c.Rejects = []leadevents.RowReject{{Index: 5, Phone: "x", HasPhone: true, Reason: ingest.ReasonInvalidPhone}}
		return c
	}
	first := p.expect(keyed("k", 1, event(1, at), event(2, at)), 2, 0)
	again := p.expect(keyed("k", 1, event(1, at), event(2, at)), 2, 0)
	if first.Batch != again.Batch || fmt.Sprint(again.Rejects) != fmt.Sprint(first.Rejects) {
		t.Fatalf("the second answer is %+v, the first was %+v", again, first)
	}
	p.expect(keyed("other", 1, event(1, at), event(2, at)), 0, 2)
	_, err := p.ingester.Submit(t.Context(), keyed("k", 2, event(3, at)))
	if leadevents.KindOf(err) != leadevents.Conflict {
		t.Fatalf("another body under the same key: %v, want a conflict", err)
	}
	c := keyed("k", 1, event(1, at))
	c.Org = 7 // keys are per organization
	p.expect(c, 1, 0)
	if got, ok, err := p.db.Receipt(t.Context(), 42, first.Batch, 50); err != nil || !ok ||
		got.Inserted != 2 || got.Rejected != 1 || got.State != leadevents.BatchDone || got.IdempotencyKey != "k" || len(got.Rejects) != 1 {
		t.Fatalf("receipt %+v, %v, %v", got, ok, err)
	}
}

func TestManySmallCallsShareGroups(t *testing.T) {
	p := newStores(t).start(t)
	at := now()
	var clients sync.WaitGroup
	for i := range 64 {
		clients.Go(func() {
			for j := range 10 {
				result, err := p.ingester.Submit(context.Background(), call("small", event(i*10+j, at), event(0, at)))
				if err != nil || result.Inserted+result.Duplicates != 2 {
					t.Errorf("%+v, %v", result, err)
				}
			}
		})
	}
	clients.Wait()
	if p.stored() != 640 {
		t.Fatalf("%d keys stored, want 640", p.stored())
	}
	var parts uint64
	if err := p.db.Conn().QueryRow(t.Context(), `SELECT uniqExact(ingested_at) FROM lead_events`).Scan(&parts); err != nil {
		t.Fatal(err)
	}
	if parts > 320 {
		t.Fatalf("640 calls were stored in %d groups: they were not gathered", parts)
	}
}

func BenchmarkSubmit50000(b *testing.B) {
	p := newStores(b).start(b)
	random := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		list := make([]leadevents.Event, 50_000)
		at := now()
		for i := range list {
			list[i] = leadevents.Event{Phone: leadevents.Phone(10_000_000_000 + random.Uint64N(90_000_000_000)), OccurredAt: at - leadevents.Millis(random.IntN(600_000)), Metadata: []byte(`{"orderId":"ord_9F2","amountUsd":297}`)}
		}
		p.expect(call("bench", list...), 50_000, 0)
	}
}
