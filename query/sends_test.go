package query_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/ingest/ledger"
	"leadevents/query"
	"leadevents/query/audience"
)

// sendProcess is another process' sends. between stands before its store, locks
// replaces Redis'. It works until the test ends, or kill.
type sendProcess struct {
	*query.Sends
	kill func()
}

func (w *world) sends(between func(query.SendStore) query.SendStore, locks query.Locks, change ...func(*query.SendConfig)) *sendProcess {
	w.t.Helper()
	db := w.open()
	if locks == nil {
		l, err := ledger.New(ledger.Config{Addr: w.redis.Addr, Password: w.redis.Password, Prefix: w.redis.Prefix}, db)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = l.Close() })
		locks = l
	}
	var store query.SendStore = db
	if between != nil {
		store = between(store)
	}
	cfg := query.SendConfig{
		Workers: 2, Queue: 16, Streams: 2, Wait: time.Minute, Lease: 2 * time.Second, ClockSkew: 5 * time.Minute,
		Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	}
	for _, f := range change {
		f(&cfg)
	}
	p := &sendProcess{Sends: query.NewSends(cfg, store, locks)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	p.kill = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("sends: %v", err)
		}
	})
	w.t.Cleanup(p.kill)
	return p
}

// eventually waits for what happens beside the test.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within three minutes", what)
		}
	}
}

// replaced is a store with some of its methods replaced.
type replaced struct {
	query.SendStore
	materialize func(ctx context.Context, store query.SendStore, org leadevents.OrgID, run uint64, e audience.Evaluation, progress func(int, int)) (audience.Totals, error)
	leases      func(ctx context.Context, store query.SendStore, d time.Duration, leases ...audience.Lease) error
	add         func(ctx context.Context, store query.SendStore, org leadevents.OrgID, id string, e audience.SendEntry) error
	blind       bool // it finds no leases that have ended: it takes nothing over
}

func (r *replaced) Materialize(ctx context.Context, org leadevents.OrgID, run uint64, e audience.Evaluation, progress func(int, int)) (audience.Totals, error) {
	if r.materialize == nil {
		return r.SendStore.Materialize(ctx, org, run, e, progress)
	}
	return r.materialize(ctx, r.SendStore, org, run, e, progress)
}

func (r *replaced) SetLeases(ctx context.Context, d time.Duration, leases ...audience.Lease) error {
	if r.leases == nil {
		return r.SendStore.SetLeases(ctx, d, leases...)
	}
	return r.leases(ctx, r.SendStore, d, leases...)
}

func (r *replaced) AddSendEntry(ctx context.Context, org leadevents.OrgID, id string, e audience.SendEntry) error {
	if r.add == nil {
		return r.SendStore.AddSendEntry(ctx, org, id, e)
	}
	return r.add(ctx, r.SendStore, org, id, e)
}

func (r *replaced) ExpiredLeases(ctx context.Context) ([]audience.Lease, error) {
	if r.blind {
		return nil, nil
	}
	return r.SendStore.ExpiredLeases(ctx)
}

func over(r *replaced) func(query.SendStore) query.SendStore {
	return func(store query.SendStore) query.SendStore {
		r.SendStore = store
		return r
	}
}

func phones(n int) []leadevents.Phone {
	all := make([]leadevents.Phone, n)
	for i := range all {
		all[i] = leadevents.Phone(15550000000 + i)
	}
	return all
}

func listed(n int) audience.Definition {
	return audience.Definition{Audience: audience.Reference{Source: audience.Listed, Phones: phones(n)}, Filters: []audience.Filter{}}
}

// result waits for a send and checks that it has exactly one result, of n leads,
// and that no other run has left rows.
func (w *world) result(s *sendProcess, id string, n int) audience.Send {
	w.t.Helper()
	send, err := s.Wait(w.t.Context(), org, id)
	if err != nil || send.State != audience.SendMaterialized {
		w.t.Fatalf("%s: %s %s %v", id, send.State, send.Reason, err)
	}
	var got []leadevents.Phone
	err = s.Leads(w.t.Context(), org, id, func(phones []leadevents.Phone, _ []string) error {
		got = append(got, phones...)
		return nil
	})
	if err != nil || !slices.Equal(got, phones(n)) || send.Totals.Kept != uint64(n) {
		w.t.Fatalf("%s: kept %d leads, totals %+v, %v", id, len(got), send.Totals, err)
	}
	return send
}

// strayRows counts what other runs than these have among the results of all sends.
func (w *world) strayRows(runs ...uint64) uint64 {
	w.t.Helper()
	var n uint64
	if err := w.db.Conn().QueryRow(w.t.Context(), "SELECT count() FROM send_leads WHERE NOT has(?, run)", runs).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// A process that dies while it materializes is found, another begins again under
// a new run for the same fireAt, and there is one result.
func TestARunWhoseProcessDiesIsBegunAgain(t *testing.T) {
	w := newWorld(t)
	started := make(chan uint64, 1)
	dead := make(chan struct{})
	dying := w.sends(over(&replaced{
		// It stores its result, and dies before it can say so.
		materialize: func(ctx context.Context, store query.SendStore, org leadevents.OrgID, run uint64, e audience.Evaluation, progress func(int, int)) (audience.Totals, error) {
			if _, err := store.Materialize(ctx, org, run, e, progress); err != nil {
				return audience.Totals{}, err
			}
			close(dead)
			started <- run
			<-ctx.Done()
			return audience.Totals{}, ctx.Err()
		},
		// Nothing is renewed, and nothing given up: as after SIGKILL.
		leases: func(ctx context.Context, store query.SendStore, d time.Duration, leases ...audience.Lease) error {
			select {
			case <-dead:
				return errors.New("dead")
			default:
				return store.SetLeases(ctx, d, leases...)
			}
		},
	}), nil)
	if _, _, err := dying.Define(t.Context(), org, "s", listed(50)); err != nil {
		t.Fatal(err)
	}
	before, err := dying.Materialize(t.Context(), org, "s")
	if err != nil || before.State != audience.SendMaterializing {
		t.Fatal(before.State, err)
	}
	left := <-started
	living := w.sends(nil, nil)
	after := w.result(living, "s", 50)
	if after.Run == left || after.FireAt != before.FireAt || after.AsOf <= before.AsOf {
		t.Errorf("before %d, %s as of %s; after %d, %s as of %s", left, before.FireAt, before.AsOf, after.Run, after.FireAt, after.AsOf)
	}
	eventually(t, "the rows of the dead run are removed", func() bool { return w.strayRows(after.Run) == 0 })
}

// A process that was taken for dead and lives on has nothing to say, whichever of
// the two is through first.
func TestARunThatWasTakenOverChangesNothing(t *testing.T) {
	w := newWorld(t)
	claimed, goOn := make(chan struct{}), make(chan struct{})
	sleeping := make(chan struct{})
	slow := w.sends(over(&replaced{
		blind: true, // it sleeps, and does not begin its own run again
		materialize: func(ctx context.Context, store query.SendStore, org leadevents.OrgID, run uint64, e audience.Evaluation, progress func(int, int)) (audience.Totals, error) {
			close(claimed)
			select {
			case <-goOn:
			case <-ctx.Done():
			}
			totals, err := store.Materialize(ctx, org, run, e, progress)
			totals.Kept = 0 // its result must be nobody's
			return totals, err
		},
		leases: func(ctx context.Context, store query.SendStore, d time.Duration, leases ...audience.Lease) error {
			select {
			case <-sleeping:
				return nil
			default:
				return store.SetLeases(ctx, d, leases...)
			}
		},
	}), nil)
	if _, _, err := slow.Define(t.Context(), org, "s", listed(20)); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Materialize(t.Context(), org, "s"); err != nil {
		t.Fatal(err)
	}
	<-claimed
	close(sleeping)
	other := w.sends(nil, nil)
	first := w.result(other, "s", 20)
	close(goOn)
	eventually(t, "the late run is removed", func() bool {
		var runs uint64
		if err := w.db.Conn().QueryRow(t.Context(), "SELECT count() FROM send_leads").Scan(&runs); err != nil {
			t.Fatal(err)
		}
		return runs == 20 && w.strayRows(first.Run) == 0
	})
	if again := w.result(other, "s", 20); again.Run != first.Run || again.MaterializedAt != first.MaterializedAt {
		t.Errorf("the result changed from run %d to %d", first.Run, again.Run)
	}
}

// Without any lock, calls that meet in several processes come to one result, and
// what a reader has seen once stays.
func TestOneResultWithoutLocks(t *testing.T) {
	w := newWorld(t)
	processes := []*sendProcess{w.sends(nil, free{}), w.sends(nil, free{}), w.sends(nil, free{})}
	var runs []uint64
	for round := range 8 {
		id := fmt.Sprint("s", round)
		if _, _, err := processes[0].Define(t.Context(), org, id, listed(30)); err != nil {
			t.Fatal(err)
		}
		var calls sync.WaitGroup
		for _, p := range processes {
			for range 2 {
				calls.Go(func() {
					if _, err := p.Materialize(t.Context(), org, id); err != nil {
						t.Error(err)
					}
				})
			}
		}
		calls.Wait()
		run := uint64(0)
		for _, p := range processes {
			send := w.result(p, id, 30)
			if run != 0 && send.Run != run {
				t.Errorf("%s: run %d, and then %d", id, run, send.Run)
			}
			run = send.Run
		}
		runs = append(runs, run)
	}
	eventually(t, "no other run is left", func() bool { return w.strayRows(runs...) == 0 })
}

// A failure is shown with its reason, and the next call tries again; the
// definition can be changed in between.
func TestAFailedSendSaysWhyAndIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	failing := true
	p := w.sends(over(&replaced{materialize: func(ctx context.Context, store query.SendStore, org leadevents.OrgID, run uint64, e audience.Evaluation, progress func(int, int)) (audience.Totals, error) {
		if failing {
			failing = false
			return audience.Totals{}, leadevents.Errorf(leadevents.QueryLimit, "it needs more memory than there is")
		}
		return store.Materialize(ctx, org, run, e, progress)
	}}), nil)
	if _, _, err := p.Define(t.Context(), org, "s", listed(5)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Materialize(t.Context(), org, "s"); err != nil {
		t.Fatal(err)
	}
	send, err := p.Wait(t.Context(), org, "s")
	if err != nil || send.State != audience.SendFailed || send.Reason != "it needs more memory than there is" {
		t.Fatalf("%+v %v", send, err)
	}
	if err := p.Leads(t.Context(), org, "s", nil); leadevents.KindOf(err) != leadevents.Conflict {
		t.Errorf("leads of a failed send: %v", err)
	}
	if _, created, err := p.Define(t.Context(), org, "s", listed(7)); err != nil || created {
		t.Fatal(created, err)
	}
	if _, err := p.Materialize(t.Context(), org, "s"); err != nil {
		t.Fatal(err)
	}
	w.result(p, "s", 7)
}

// A send that takes its server with it does so a few times, and then has failed.
func TestASendThatEndsEveryServerFails(t *testing.T) {
	w := newWorld(t)
	w2 := w.sends(nil, nil)
	if _, _, err := w2.Define(t.Context(), org, "s", listed(1)); err != nil {
		t.Fatal(err)
	}
	w2.kill()
	// Five claims of processes that died at once.
	for i := range 5 {
		log, err := w.db.SendLog(t.Context(), org, "s")
		if err != nil {
			t.Fatal(err)
		}
		e := audience.SendEntry{Sequence: log.Next(), ID: uint64(100 + i), Kind: audience.SendClaimed, DefinitionID: log.Defined().ID, FireAt: 1}
		if err := w.db.AddSendEntry(t.Context(), org, "s", e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.db.SetLeases(t.Context(), 0, audience.Lease{Send: audience.SendRef{Org: org, ID: "s"}, Run: 104, Renewal: 1, Parts: 1}); err != nil {
		t.Fatal(err)
	}
	p := w.sends(nil, nil)
	send, err := p.Wait(t.Context(), org, "s")
	if err != nil || send.State != audience.SendFailed || send.Reason == "" {
		t.Fatalf("%+v %v", send, err)
	}
	if _, err := p.Materialize(t.Context(), org, "s"); err != nil {
		t.Fatal(err)
	}
	w.result(p, "s", 1)
}

// Full queues refuse at once, and say which setting bounds them.
func TestSendsAreBounded(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	p := w.sends(over(&replaced{materialize: func(ctx context.Context, store query.SendStore, org leadevents.OrgID, run uint64, e audience.Evaluation, progress func(int, int)) (audience.Totals, error) {
		progress(1, 3)
		select {
		case <-release:
		case <-ctx.Done():
		}
		return store.Materialize(ctx, org, run, e, progress)
	}}), nil, func(c *query.SendConfig) { c.Workers, c.Queue, c.Streams, c.Wait = 1, 1, 1, 100*time.Millisecond })
	for _, id := range []string{"a", "b", "c"} {
		if _, _, err := p.Define(t.Context(), org, id, listed(3)); err != nil {
			t.Fatal(err)
		}
		_, err := p.Materialize(t.Context(), org, id)
		if id != "c" && err != nil || id == "c" && leadevents.KindOf(err) != leadevents.Unavailable {
			t.Errorf("%s: %v", id, err)
		}
	}
	send, err := p.Send(t.Context(), org, "c")
	if err != nil || send.State != audience.SendDraft {
		t.Errorf("refused, and %s (%v)", send.State, err)
	}
	if _, err := p.Wait(t.Context(), org, "a"); leadevents.KindOf(err) != leadevents.Unavailable {
		t.Errorf("waited for longer than it may: %v", err)
	}
	if _, err := p.Materialize(t.Context(), org, "a"); err != nil {
		t.Errorf("again, while it runs: %v", err)
	}
	a, err := p.Send(t.Context(), org, "a")
	if err != nil {
		t.Fatal(err)
	}
	observer := w.sends(nil, nil)
	eventually(t, "another process shows the progress", func() bool {
		done, of, err := observer.Progress(t.Context(), org, "a", a.Run)
		return err == nil && done == 1 && of == 3
	})
	close(release)
	w.result(observer, "a", 3)
	w.result(observer, "b", 3)
	err = p.Leads(t.Context(), org, "a", func([]leadevents.Phone, []string) error {
		return p.Leads(t.Context(), org, "b", func([]leadevents.Phone, []string) error { return nil })
	})
	if leadevents.KindOf(err) != leadevents.Unavailable {
		t.Errorf("two results at once: %v", err)
	}
}

// A process that dies between lease and claim leaves nothing to take over.
func TestALeaseWithoutAClaimIsEnded(t *testing.T) {
	w := newWorld(t)
	ref := audience.SendRef{Org: org, ID: "s"}
	if err := w.db.SetLeases(t.Context(), 0, audience.Lease{Send: ref, Run: 7, Renewal: 1}); err != nil {
		t.Fatal(err)
	}
	p := w.sends(nil, nil)
	eventually(t, "the lease is ended", func() bool {
		l, _, err := w.db.Lease(t.Context(), ref, 7)
		return err == nil && l.Ended
	})
	if _, err := p.Send(t.Context(), org, "s"); leadevents.KindOf(err) != leadevents.NotFound {
		t.Errorf("a lease has made a send: %v", err)
	}
}

// A list that is replaced goes with a sweep; one that a run goes by does not.
func TestReplacedListsAreRemoved(t *testing.T) {
	w := newWorld(t)
	p := w.sends(nil, nil)
	for n := range 4 {
		if _, _, err := p.Define(t.Context(), org, "s", listed(10*n)); err != nil {
			t.Fatal(err)
		}
		accepted, leads, err := p.Filter(t.Context(), org, "s", audience.Exclude, query.ListedLeads{Phones: phones(n + 1), ExternalIDs: []string{"a", "b", "a"}})
		if err != nil || !accepted || leads != uint64(n+3) {
			t.Fatal(accepted, leads, err)
		}
	}
	sweep := func() {
		t.Helper()
		if _, err := w.db.SweepSends(t.Context(), -time.Hour); err != nil { // all was written before that
			t.Fatal(err)
		}
		if n := w.count("send_lists"); n != 30+6 {
			t.Errorf("%d leads of lists are stored, want 30 of the definition and 6 of the filter", n)
		}
	}
	sweep()
	if _, err := p.Materialize(t.Context(), org, "s"); err != nil {
		t.Fatal(err)
	}
	send, err := p.Wait(t.Context(), org, "s")
	if err != nil || send.Totals.Total != 30 || send.Totals.DroppedByList != 4 {
		t.Fatalf("%+v %v", send, err)
	}
	sweep()
	x, err := p.Explain(t.Context(), org, "s", phones(1)[0])
	if err != nil || !x.InAudience || !x.Decision.Listed || x.Decision.Kept {
		t.Errorf("%+v %v", x, err)
	}
}
