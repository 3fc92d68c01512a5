package ingest_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leadevents"
	"leadevents/ingest"
	"leadevents/ingest/ledger"
)

// tally holds what clients were told, key by key.
type tally struct {
	mu       sync.Mutex
	inserted int
	sent     map[leadevents.Key]bool
	doubtful map[leadevents.Key]bool // some request with it was not answered
}

func newTally() *tally {
	return &tally{sent: map[leadevents.Key]bool{}, doubtful: map[leadevents.Key]bool{}}
}

// send sends until answered, as a client does.
func (y *tally) send(p *process, eventType string, list []leadevents.Event) error {
	for deadline := time.Now().Add(time.Minute); ; {
		result, err := p.ingester.Submit(context.Background(), call(eventType, list...))
		y.mu.Lock()
		for _, e := range list {
			key := leadevents.Key{Org: 42, EventType: eventType, Phone: e.Phone, OccurredAt: e.OccurredAt}
			y.sent[key] = true
			if err != nil {
				y.doubtful[key] = true
			}
		}
		y.inserted += result.Inserted
		y.mu.Unlock()
		switch {
		case err == nil:
			return nil
		case leadevents.KindOf(err) != leadevents.Unavailable:
			return err
		case time.Now().After(deadline):
			return errors.Join(errors.New("not answered within a minute"), err)
		}
		time.Sleep(time.Millisecond)
	}
}

// holds is promise 2: nothing is counted twice, and whatever was answered each
// time is counted once.
func (y *tally) holds(t *testing.T, p *process) {
	t.Helper()
	if got := p.stored(); got != len(y.sent) {
		t.Errorf("%d keys are stored, %d were sent and answered", got, len(y.sent))
	}
	if y.inserted > len(y.sent) || y.inserted < len(y.sent)-len(y.doubtful) {
		t.Errorf("%d keys were told inserted, of %d sent; %d were in a request without an answer", y.inserted, len(y.sent), len(y.doubtful))
	}
	t.Logf("%d keys, %d told inserted, %d doubtful", len(y.sent), y.inserted, len(y.doubtful))
}

func TestFaultRedisIsFlushedUnderLoad(t *testing.T) {
	w := newWorld(t)
	processes := []*process{w.process, w.start(t), w.start(t)}
	y := newTally()
	base := now()
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for client := range 9 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(11, uint64(client/3)))
			for round := 0; ; round++ {
				select {
				case <-stop:
					return
				default:
				}
				n := 1 + random.IntN(50)
				if round%5 == 4 {
					n = 1200
				}
				list := make([]leadevents.Event, n)
				for i := range list {
					at := base + leadevents.Millis(round/3)
					if random.IntN(2) == 0 {
						at = at.Add(-400 * 24 * time.Hour)
					}
					list[i] = event(random.IntN(600), at)
				}
				if err := y.send(processes[client%3], "load", list); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 3 {
		before := w.process.ledger.Status().Epoch
		w.flush()
		w.process.until("trusted again", func(s ledger.Status) bool { return trusted(s) && s.Epoch != before })
	}
	close(stop)
	clients.Wait()
	y.holds(t, w.process)
}

// A rebuild goes on where the process that did it died: what it had set stays.
func TestFaultTheRebuilderDies(t *testing.T) {
	w := newWorld(t, func(s *stores) { s.ledger.RebuildRate = 2000 })
	var lists [][]leadevents.Event
	for i := range 6 { // six hours of the horizon, six slices
		lists = append(lists, events(1500, now().Add(-time.Duration(i*7+1)*time.Hour)))
		w.process.wants(1500, 0, "hours", lists[i])
	}
	w.flush()
	w.process.wants(0, 1500, "hours", lists[0])
	w.process.until("half rebuilt", func(s ledger.Status) bool { return s.RebuiltKeys >= 3000 })
	epoch := w.process.ledger.Status().Epoch
	w.process.stop()

	w.stores.ledger.RebuildRate = 0
	next := w.start(t)
	for _, list := range lists {
		next.wants(0, 1500, "hours", list)
	}
	status := next.until("trusted", trusted)
	if status.Epoch != epoch {
		t.Fatalf("the second rebuilt epoch %s, the first had begun %s", status.Epoch, epoch)
	}
	// The last slice of the first is done again, none before it.
	keys, err := w.client().HGet(t.Context(), "rebuilt", "keys").Int()
	if err != nil || keys < 9000 || keys > 9000+1500 {
		t.Fatalf("%d keys were set in all, of 9000 (%v)", keys, err)
	}
	for _, list := range lists {
		next.wants(0, 1500, "hours", list)
	}
}

// The writer of a trust record died after Redis and before ClickHouse.
func TestFaultATrustRecordIsMissingInClickHouse(t *testing.T) {
	w := newWorld(t)
	h := w.process.history()
	epoch := w.process.ledger.Status().Epoch
	w.process.stop()
	ctx := t.Context()
	if err := w.process.db.Conn().Exec(ctx, "TRUNCATE TABLE ledger_trust"); err != nil {
		t.Fatal(err)
	}
	w.process = w.start(t)
	w.process.again(h)
	if s := w.process.ledger.Status(); !trusted(s) || s.Epoch != epoch {
		t.Fatalf("nothing was lost, and the ledger is %+v, in epoch %s before", s, epoch)
	}
	var n uint64
	if err := w.process.db.Conn().QueryRow(ctx, "SELECT count() FROM ledger_trust").Scan(&n); err != nil || n == 0 {
		t.Fatalf("%d trust records in ClickHouse (%v)", n, err)
	}
}

// receiptless fails to write receipts, as often as told.
type receiptless struct {
	ingest.Store
	left *atomic.Int64
}

func (r receiptless) SaveReceipts(ctx context.Context, receipts []leadevents.Receipt) error {
	if r.left.Add(-1) >= 0 {
		return leadevents.Errorf(leadevents.Unavailable, "no receipt for the test")
	}
	return r.Store.SaveReceipts(ctx, receipts)
}

// A call with an Idempotency-Key breaks off after its store or after its seal;
// somebody else sends the same events, or nobody; Redis is lost, or not; then it
// is sent again and answers what an uninterrupted first attempt would have.
func TestAnIdempotencyKeyIsExactAfterRedisIsLost(t *testing.T) {
	for _, at := range []string{"live", "old"} {
		for _, broken := range []string{"before its seal", "after its seal"} {
			for _, other := range []bool{false, true} {
				for _, lost := range []bool{false, true} {
					name := at + ", broken off " + broken
					if other {
						name += ", another sends the same"
					}
					if lost {
						name += ", Redis is lost"
					}
					t.Run(name, func(t *testing.T) { idempotentAfter(t, at, broken, other, lost) })
				}
			}
		}
	}
}

func idempotentAfter(t *testing.T, at, broken string, other, lost bool) {
	var seals, receipts atomic.Int64
	w := newWorld(t, func(s *stores) {
		s.betweenLedger = func(l ingest.Ledger) ingest.Ledger { return failingLedger{l, &seals} }
		s.betweenStore = func(st ingest.Store) ingest.Store { return receiptless{st, &receipts} }
	})
	list := events(300, now())
	if at == "old" {
		list = events(300, now().Add(-700*24*time.Hour))
	}
	keyed := func() *ingest.Call {
		c := call("keyed", list...)
		c.IdempotencyKey, c.BodyHash = "k", [16]byte{1}
		return c
	}
	if broken == "before its seal" {
		seals.Store(3)
	} else {
		receipts.Store(1)
	}
	if _, err := w.process.ingester.Submit(t.Context(), keyed()); leadevents.KindOf(err) != leadevents.Unavailable {
		t.Fatalf("got %v, want a 503", err)
	}
	seals.Store(0)
	receipts.Store(0)
	inserted := 300
	if other {
		result := w.process.try(func() *ingest.Call { return call("keyed", list...) })
		inserted -= result.Inserted
		if wanted := map[string]int{"before its seal": 300, "after its seal": 0}[broken]; result.Inserted != wanted {
			t.Fatalf("the other was told %d inserted, want %d", result.Inserted, wanted)
		}
	}
	if lost {
		before := w.process.ledger.Status().Epoch
		w.flush()
		w.process.until("trusted again", func(s ledger.Status) bool { return trusted(s) && s.Epoch != before })
	}
	for range 2 {
		result := w.process.try(keyed)
		if result.Inserted != inserted || result.Duplicates != 300-inserted {
			t.Fatalf("inserted %d, duplicates %d; want %d and %d", result.Inserted, result.Duplicates, inserted, 300-inserted)
		}
	}
	w.process.wants(0, 300, "keyed", list)
}

// behindFlush is a store whose first insert lands when Redis has been emptied and rebuilt.
type behindFlush struct {
	ingest.Store
	once  *sync.Once
	flush func()
}

func (b behindFlush) InsertEvents(ctx context.Context, rows *leadevents.Rows, token, queryID string) error {
	b.once.Do(b.flush)
	return b.Store.InsertEvents(ctx, rows, token, queryID)
}

// Redis loses the claim of a call with an Idempotency-Key, whose rows come to lie behind the
// rebuild; another call takes its events for new; Redis loses that too. ClickHouse has rows
// of both, and nobody recorded who won.
func TestAnIdempotencyKeyIsExactAfterRedisIsLostTwice(t *testing.T) {
	for name, at := range map[string]leadevents.Millis{"live": now().Add(-50 * time.Hour), "old": now().Add(-700 * 24 * time.Hour)} {
		for _, rebuilt := range []bool{false, true} {
			title := name
			if rebuilt {
				title += ", and rebuilt"
			}
			t.Run(title, func(t *testing.T) { lostTwice(t, events(300, at), rebuilt) })
		}
	}
}

func lostTwice(t *testing.T, list []leadevents.Event, rebuilt bool) {
	var w *world
	flushed := func() {
		before := w.process.ledger.Status().Epoch
		w.flush()
		w.process.until("trusted again", func(s ledger.Status) bool { return trusted(s) && s.Epoch != before })
	}
	once := &sync.Once{}
	once.Do(func() {}) // not yet
	w = newWorld(t, func(s *stores) {
		s.ledger.RebuildRate = 1000
		s.betweenStore = func(st ingest.Store) ingest.Store { return behindFlush{st, once, flushed} }
	})
	for i := range 8 { // what a rebuild has to do before it comes to the list
		w.process.wants(500, 0, "before", events(500, now().Add(-time.Duration(i+1)*time.Hour)))
	}
	if err := w.process.db.Conn().Exec(t.Context(), "SYSTEM STOP MERGES lead_events"); err != nil { // they would leave one row
		t.Fatal(err)
	}
	keyed := func() *ingest.Call {
		c := call("keyed", list...)
		c.IdempotencyKey, c.BodyHash = "k", [16]byte{1}
		return c
	}
	*once = sync.Once{}
	if _, err := w.process.ingester.Submit(t.Context(), keyed()); leadevents.KindOf(err) != leadevents.Unavailable {
		t.Fatalf("got %v, want a 503", err)
	}
	other := w.process.try(func() *ingest.Call { return call("keyed", list...) })
	if rebuilt {
		flushed()
	} else {
		w.flush()
	}
	for range 2 {
		if result := w.process.try(keyed); result.Inserted+other.Inserted != 300 || result.Duplicates != other.Inserted {
			t.Fatalf("%d were inserted, after the %d of another call", result.Inserted, other.Inserted)
		}
	}
	w.process.wants(0, 300, "keyed", list)
}

// A rebuild reads what was there when it began and does not run after what comes
// meanwhile; of neither an answer changes.
func TestFaultARebuildDoesNotRunAfterWhatComesMeanwhile(t *testing.T) {
	w := newWorld(t, func(s *stores) { s.ledger.RebuildRate = 2000 })
	before, meanwhile := events(6000, now().Add(-20*time.Hour)), events(3000, now().Add(-time.Minute))
	w.process.wants(6000, 0, "before", before)
	epoch := w.process.ledger.Status().Epoch
	w.flush()
	w.process.until("rebuilding", func(s ledger.Status) bool {
		return s.State == ledger.Rebuilding && s.Epoch != epoch && s.RebuiltKeys > 0
	})
	w.process.wants(3000, 0, "meanwhile", meanwhile) // in a slice that is still to be read
	w.process.until("trusted", trusted)
	w.process.wants(0, 6000, "before", before)
	w.process.wants(0, 3000, "meanwhile", meanwhile)
	if keys, err := w.client().HGet(t.Context(), "rebuilt", "keys").Int(); err != nil || keys != 6000 {
		t.Fatalf("%d keys were rebuilt (%v), 6000 were there when it began", keys, err)
	}
}

// What bears a stamp of a clock that was ahead was there too.
func TestFaultARebuildReadsStampsOfAClockThatWasAhead(t *testing.T) {
	w := newWorld(t)
	list := events(1000, now().Add(-time.Hour))
	w.process.wants(1000, 0, "ahead", list)
	err := w.process.db.Conn().Exec(t.Context(), "ALTER TABLE lead_events UPDATE ingested_at = ingested_at + INTERVAL 1 HOUR WHERE 1 SETTINGS mutations_sync = 2")
	if err != nil {
		t.Fatal(err)
	}
	epoch := w.process.ledger.Status().Epoch
	w.flush()
	w.process.until("trusted", func(s ledger.Status) bool { return trusted(s) && s.Epoch != epoch })
	w.process.wants(0, 1000, "ahead", list)
}
