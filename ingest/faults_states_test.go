package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"leadevents"
	"leadevents/ingest"
	"leadevents/ingest/ledger"
)

// mending is a store that may be kept from repairing states.
type mending struct {
	ingest.Store
	not bool
}

func (m mending) RepairStates(ctx context.Context, s ledger.Stretch, receipted bool) error {
	if m.not {
		return leadevents.Errorf(leadevents.Unavailable, "no repair for the test")
	}
	return m.Store.RepairStates(ctx, s, receipted)
}

// view makes the view of states fail, or work again: what a full disk, a memory
// limit, or the end of the query does between a row and its state.
func (p *process) view(fails bool) {
	p.t.Helper()
	where := ""
	if fails {
		where = "WHERE throwIf(1, 'no state for the test') = 0"
	}
	err := p.db.Conn().Exec(context.Background(), fmt.Sprintf(`ALTER TABLE lead_states_mv MODIFY QUERY
		SELECT organization_id, event_type, phone, min(occurred_at) AS first_at, max(occurred_at) AS last_at
		FROM lead_events %s GROUP BY organization_id, event_type, phone`, where))
	if err != nil {
		p.t.Fatal(err)
	}
}

// states counts the leads that have a state, and those whose state is not what
// their rows say.
func (p *process) states() (n, wrong int) {
	p.t.Helper()
	var have, differ uint64
	err := p.db.Conn().QueryRow(p.t.Context(), `
		WITH raw AS (SELECT organization_id, event_type, phone, min(occurred_at), max(occurred_at) FROM lead_events GROUP BY ALL),
		     states AS (SELECT organization_id, event_type, phone, min(first_at), max(last_at) FROM lead_states GROUP BY ALL)
		SELECT (SELECT count() FROM states), (SELECT count() FROM (SELECT * FROM raw EXCEPT SELECT * FROM states))`).Scan(&have, &differ)
	if err != nil {
		p.t.Fatal(err)
	}
	return int(have), int(differ)
}

// breaksOff sends a call whose insert ends between its rows and their states.
func (p *process) breaksOff(c *ingest.Call) {
	p.t.Helper()
	p.view(true)
	if _, err := p.ingester.Submit(p.t.Context(), c); leadevents.KindOf(err) != leadevents.Unavailable {
		p.t.Fatalf("got %v, want a 503", err)
	}
	p.view(false)
	if got := p.stored(); got == 0 {
		p.t.Fatal("the insert left no rows: the test tests nothing")
	}
}

// Nobody sends the rows again: the tables become equal by themselves.
func TestFaultAnInsertBreaksOffBeforeItsStates(t *testing.T) {
	w := newWorld(t)
	w.process.breaksOff(call("broken off", events(300, now())...))
	eventually(t, "every row has its state", func() bool { n, wrong := w.process.states(); return n == 300 && wrong == 0 })
}

// Whoever is told duplicate, or inserted, finds the lead by its filters at once:
// by the row alone while the ledger is rebuilt, by a key that the rebuild has set,
// and as the call that broke off itself.
func TestFaultWhatIsAnsweredHasItsStates(t *testing.T) {
	old := now().Add(-700 * 24 * time.Hour)
	slow := func(s *stores) {
		s.ledger.RebuildRate = 1000
		s.betweenStore = func(st ingest.Store) ingest.Store { return mending{st, true} }
	}
	holds := func(p *process, n int) {
		p.t.Helper()
		if got, wrong := p.states(); got != n || wrong != 0 {
			p.t.Fatalf("%d leads have a state, want %d; %d are wrong", got, n, wrong)
		}
	}
	t.Run("a duplicate by its row", func(t *testing.T) {
		w := newWorld(t, slow)
		w.process.wants(8000, 0, "much", events(8000, now().Add(-time.Hour)))
		list := events(300, old)
		w.process.breaksOff(call("broken off", list...))
		w.flush()
		w.process.until("rebuilding", func(s ledger.Status) bool { return s.State == ledger.Rebuilding })
		w.process.wants(0, 300, "broken off", list)
		if s := w.process.ledger.Status(); s.State != ledger.Rebuilding {
			t.Fatalf("the rebuild is over before the test: %+v", s)
		}
		holds(w.process, 8300)
	})
	t.Run("a duplicate by its key", func(t *testing.T) {
		w := newWorld(t, slow)
		list := events(300, now().Add(-time.Hour))
		w.process.breaksOff(call("broken off", list...))
		before := w.process.ledger.Status().Epoch
		w.flush()
		w.process.until("trusted again", func(s ledger.Status) bool { return trusted(s) && s.Epoch != before })
		w.process.wants(0, 300, "broken off", list)
		holds(w.process, 300)
	})
	t.Run("with an Idempotency-Key", func(t *testing.T) {
		w := newWorld(t, slow)
		list := events(300, old)
		again := func() *ingest.Call {
			c := call("broken off", list...)
			c.IdempotencyKey, c.BodyHash = "k", [16]byte{1}
			return c
		}
		w.process.breaksOff(again())
		if result := w.process.try(again); result.Inserted != 300 {
			t.Fatalf("told %d inserted, want 300", result.Inserted)
		}
		holds(w.process, 300)
	})
}

// The engine dies between rows and states, and comes back when whoever counts from
// its new start would look in the wrong place.
func TestFaultClickHouseWasDownForLong(t *testing.T) {
	w := newWorldOfItsOwn(t)
	w.process.breaksOff(call("broken off", events(300, now())...))
	eventually(t, "it is mended", func() bool { _, wrong := w.process.states(); return wrong == 0 })
	w.process.stop()
	// As it would have died: an hour ago, by all that the stores know.
	for _, sql := range []string{
		"TRUNCATE TABLE lead_states",
		"ALTER TABLE lead_events UPDATE ingested_at = ingested_at - INTERVAL 1 HOUR WHERE 1 SETTINGS mutations_sync = 2",
		"ALTER TABLE ledger_beats DELETE WHERE 1 SETTINGS mutations_sync = 2",
		"INSERT INTO ledger_beats SELECT now64(3) - INTERVAL 1 HOUR",
	} {
		if err := w.process.db.Conn().Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	w.click.Halt()
	w.redis.Replace()
	w.click.Start()
	w.stores.ch = w.click.Store()
	w.stores.redis = w.redis.Store()
	next := w.start(t)
	eventually(t, "every row has its state", func() bool { n, wrong := next.states(); return n == 300 && wrong == 0 })
}

// The server tells its age in seconds; two starts within a second are two.
func TestFaultClickHouseIsKilledTwiceInASecond(t *testing.T) {
	w := newWorldOfItsOwn(t)
	w.process.wants(300, 0, "landed", events(300, now()))
	for range 3 {
		if err := w.process.db.Conn().Exec(t.Context(), "TRUNCATE TABLE lead_states"); err != nil {
			t.Fatal(err)
		}
		pid := w.click.Endpoint().PID
		w.click.Kill()
		w.click.Await(pid)
		eventually(t, "the engine answers", func() bool { return w.process.db.Conn().Ping(t.Context()) == nil })
		eventually(t, "every row has its state", func() bool { n, wrong := w.process.states(); return n == 300 && wrong == 0 })
	}
}

// asking counts the questions for receipts.
type asking struct {
	ingest.Store
	asked *atomic.Int64
}

func (a asking) LackReceipts(ctx context.Context, batches []ledger.Landed) ([]ledger.Landed, error) {
	a.asked.Add(1)
	return a.Store.LackReceipts(ctx, batches)
}

// While everything is cold-checked, what is sent again costs one question for the
// receipts of a batch, and none where too many batches would have to be asked for.
func TestReceiptsAreAskedForOnce(t *testing.T) {
	old := now().Add(-700 * 24 * time.Hour)
	for name, scattered := range map[string]bool{"one batch": false, "a batch each": true} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			w := newWorld(t, func(s *stores) {
				s.ledger.RebuildRate = 500
				s.betweenStore = func(st ingest.Store) ingest.Store { return asking{st, &asked} }
			})
			list, want := events(1500, old), int64(1)
			if scattered {
				want = 0
				var singles errgroup.Group
				singles.SetLimit(500)
				for _, e := range list {
					singles.Go(func() error {
						_, err := w.process.ingester.Submit(t.Context(), call("sent", e))
						return err
					})
				}
				if err := singles.Wait(); err != nil {
					t.Fatal(err)
				}
			} else {
				w.process.wants(1500, 0, "sent", list)
			}
			w.process.wants(8000, 0, "much", events(8000, now().Add(-time.Hour)))
			w.flush()
			w.process.until("rebuilding", func(s ledger.Status) bool { return s.State == ledger.Rebuilding })
			before := asked.Load()
			for range 3 {
				w.process.wants(0, 1500, "sent", list)
			}
			if n := asked.Load() - before; n != want {
				t.Fatalf("receipts were asked for %d times, want %d", n, want)
			}
			if n, wrong := w.process.states(); n != 9500 || wrong != 0 {
				t.Fatalf("%d leads have a state; %d are wrong", n, wrong)
			}
		})
	}
}

// lateInsert gives an insert up and lets it arrive after the first repair, to break off.
type lateInsert struct {
	ingest.Store
	state *lateState
}

type lateState struct {
	mu      sync.Mutex
	rows    *leadevents.Rows
	query   string
	repairs int
	arrive  func(ctx context.Context, store ingest.Store, rows *leadevents.Rows)
}

func (l lateInsert) InsertEvents(_ context.Context, rows *leadevents.Rows, _, _ string) error {
	l.state.mu.Lock()
	defer l.state.mu.Unlock()
	l.state.rows = rows
	return errors.New("no answer for the test")
}

func (l lateInsert) RepairStates(ctx context.Context, s ledger.Stretch, receipted bool) error {
	err := l.Store.RepairStates(ctx, s, receipted)
	l.state.mu.Lock()
	defer l.state.mu.Unlock()
	if l.state.repairs++; err == nil && l.state.rows != nil {
		l.state.arrive(ctx, l.Store, l.state.rows)
		l.state.rows = nil
	}
	return err
}

// A server that stood still takes up what its socket holds when the client has long
// given it up, and mended.
func TestFaultAnInsertArrivesBehindItsRepair(t *testing.T) {
	state := &lateState{}
	w := newWorld(t, func(s *stores) {
		s.ledger.Deadline, s.ledger.Margin = time.Second, 100*time.Millisecond
		s.betweenStore = func(st ingest.Store) ingest.Store { return lateInsert{st, state} }
	})
	began := time.Now()
	eventually(t, "the repairs of the start, which would do it too, are over", func() bool { return time.Since(began) > 6*time.Second })
	state.arrive = func(ctx context.Context, store ingest.Store, rows *leadevents.Rows) {
		w.process.view(true)
		defer w.process.view(false)
		if err := store.InsertEvents(ctx, rows, "late", "late"); err == nil {
			t.Error("the insert did not break off: the test tests nothing")
		}
	}
	if _, err := w.process.ingester.Submit(t.Context(), call("late", events(300, now())...)); leadevents.KindOf(err) != leadevents.Unavailable {
		t.Fatalf("got %v, want a 503", err)
	}
	eventually(t, "the rows arrive", func() bool { return w.process.stored() == 300 })
	eventually(t, "every row has its state", func() bool { n, wrong := w.process.states(); return n == 300 && wrong == 0 })
}

// lingering is a store whose inserts are given up while the server is at work on them:
// the query ends later, and breaks off between the rows and their states.
type lingering struct {
	ingest.Store
	state *lateState
	alive *atomic.Bool
}

func (l lingering) InsertEvents(_ context.Context, rows *leadevents.Rows, _, queryID string) error {
	l.state.mu.Lock()
	defer l.state.mu.Unlock()
	if l.state.rows == nil {
		l.state.rows, l.state.query = rows, queryID
	}
	return errors.New("no answer for the test")
}

func (l lingering) Kill(_ context.Context, queryID string) error {
	l.state.mu.Lock()
	defer l.state.mu.Unlock()
	if queryID == l.state.query && l.alive.Load() {
		return leadevents.Errorf(leadevents.Unavailable, "the query has not ended yet, for the test")
	}
	return nil
}

// A repair beside a query that lingers repairs nothing.
func TestFaultAnInsertLingersBehindItsRepair(t *testing.T) {
	state, alive := &lateState{}, &atomic.Bool{}
	alive.Store(true)
	w := newWorld(t, func(s *stores) {
		s.ledger.Deadline, s.ledger.Margin = time.Second, 100*time.Millisecond
		s.betweenStore = func(st ingest.Store) ingest.Store { return lingering{st, state, alive} }
	})
	began := time.Now()
	eventually(t, "the repairs of the start, which would do it too, are over", func() bool { return time.Since(began) > 6*time.Second })
	given := time.Now()
	if _, err := w.process.ingester.Submit(t.Context(), call("late", events(300, now())...)); leadevents.KindOf(err) != leadevents.Unavailable {
		t.Fatalf("got %v, want a 503", err)
	}
	eventually(t, "the time of both repairs is over", func() bool { return time.Since(given) > 6*time.Second })
	w.process.view(true)
	if err := w.process.db.InsertEvents(t.Context(), state.rows, "late", "late"); err == nil {
		t.Error("the insert did not break off: the test tests nothing")
	}
	w.process.view(false)
	if _, wrong := w.process.states(); wrong != 300 {
		t.Errorf("%d rows lack their states, want 300: the test tests nothing", wrong)
	}
	alive.Store(false)
	eventually(t, "every row has its state", func() bool { n, wrong := w.process.states(); return n == 300 && wrong == 0 })
}

// besideAnother is a world with a second process that mends nothing, some time after the
// start of the first.
func besideAnother(t *testing.T) (w *world, second *process) {
	t.Helper()
	w = newWorld(t, func(s *stores) {
		s.ledger.Deadline, s.ledger.Margin = time.Second, 100*time.Millisecond
	})
	began := time.Now()
	eventually(t, "the repairs of the start, which would do it too, are over", func() bool { return time.Since(began) > 6*time.Second })
	w.stores.betweenStore = func(st ingest.Store) ingest.Store { return mending{st, true} }
	return w, w.start(t)
}

// A server ends and leaves rows without their states, others go on, and nobody sends
// the rows again: whoever is left finds that it is heard of no more.
func TestFaultAServerDiesBesideOthers(t *testing.T) {
	w, second := besideAnother(t)
	eventually(t, "both are known", func() bool { return w.client().ZCard(t.Context(), "servers").Val() == 2 })
	second.breaksOff(call("broken off", events(300, now())...))
	second.stop()
	if _, wrong := w.process.states(); wrong != 300 {
		t.Fatalf("%d rows lack their states, want 300: the test tests nothing", wrong)
	}
	eventually(t, "every row has its state", func() bool { n, wrong := w.process.states(); return n == 300 && wrong == 0 })
	eventually(t, "its name is taken out", func() bool { return w.client().ZCard(t.Context(), "servers").Val() == 1 })
}

// As before, but Redis loses its name before it dies, and the rebuild has been where its
// rows come to lie: nothing is left that names it.
func TestFaultAServerDiesUnnamed(t *testing.T) {
	w, second := besideAnother(t)
	epoch := w.process.ledger.Status().Epoch
	flushed := time.Now()
	w.flush()
	w.process.until("trusted again", func(s ledger.Status) bool { return trusted(s) && s.Epoch != epoch })
	second.until("trusted again", func(s ledger.Status) bool { return trusted(s) && s.Epoch != epoch })
	second.breaksOff(call("broken off", events(300, now())...))
	soon := time.Since(flushed) < 3*time.Second // the grace of a request, for which a loss is looked behind
	second.stop()
	// Its beats may have noted the name again. One that lived on for longer has it noted:
	// so a slow machine comes to where another finds it.
	if soon {
		if err := w.client().Del(t.Context(), "servers").Err(); err != nil {
			t.Fatal(err)
		}
	}
	// Or it comes here when it has been mended already.
	if _, wrong := w.process.states(); wrong != 300 && time.Since(flushed) < 3*time.Second {
		t.Fatalf("%d rows lack their states, want 300: the test tests nothing", wrong)
	}
	eventually(t, "every row has its state", func() bool { n, wrong := w.process.states(); return n == 300 && wrong == 0 })
}

// A server that stops with nothing to mend says so, and nobody repairs for it.
func TestAServerThatStopsInOrderIsNotMourned(t *testing.T) {
	w := newWorld(t)
	second := w.start(t)
	second.wants(300, 0, "landed", events(300, now()))
	names := func() int64 { return w.client().ZCard(t.Context(), "servers").Val() }
	eventually(t, "both are known", func() bool { return names() == 2 })
	second.stop()
	if n := names(); n != 1 {
		t.Fatalf("%d servers are known after one of two has stopped", n)
	}
}
