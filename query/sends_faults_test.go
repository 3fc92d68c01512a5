package query_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leadevents"
	"leadevents/query"
	"leadevents/query/audience"
)

type (
	materializeFunc = func(ctx context.Context, store query.SendStore, org leadevents.OrgID, run uint64, e audience.Evaluation, progress func(int, int)) (audience.Totals, error)
)

// pausedAt is a store that stops once at an entry of a kind, before it is added, and
// goes on when told.
func pausedAt(kind audience.SendKind) (r *replaced, reached, goOn chan struct{}) {
	reached, goOn = make(chan struct{}), make(chan struct{})
	var once sync.Once
	r = &replaced{add: func(ctx context.Context, store query.SendStore, org leadevents.OrgID, id string, e audience.SendEntry) error {
		if e.Kind == kind {
			once.Do(func() {
				close(reached)
				select {
				case <-goOn:
				case <-ctx.Done():
				}
			})
		}
		return store.AddSendEntry(ctx, org, id, e)
	}}
	return r, reached, goOn
}

// A power cut at ClickHouse may take a lease and leave the claim.
func TestAClaimWithoutALeaseIsFound(t *testing.T) {
	w := newWorld(t)
	p := w.sends(nil, nil)
	if _, _, err := p.Define(t.Context(), org, "s", listed(5)); err != nil {
		t.Fatal(err)
	}
	log, err := w.db.SendLog(t.Context(), org, "s")
	if err != nil {
		t.Fatal(err)
	}
	claim := audience.SendEntry{Sequence: log.Next(), ID: 7, Kind: audience.SendClaimed, DefinitionID: log.Defined().ID, FireAt: 1}
	if err := w.db.AddSendEntry(t.Context(), org, "s", claim); err != nil {
		t.Fatal(err)
	}
	sweep, err := w.db.SweepSends(t.Context(), time.Hour)
	if err != nil || sweep.Leases != 1 {
		t.Fatalf("%+v %v", sweep, err)
	}
	w.result(p, "s", 5)
	if sweep, err := w.db.SweepSends(t.Context(), time.Hour); err != nil || sweep.Leases != 0 {
		t.Errorf("the lease of a run that has ended is made again: %+v %v", sweep, err)
	}
}

// An exclude list of which half is lost would keep the people of the other half.
func TestAListThatIsNotWholeFailsTheRun(t *testing.T) {
	for name, lost := range map[string]string{"the list filter": "phone = 15550000019", "the audience": "phone = 15550000009"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.sends(nil, nil)
			if _, _, err := p.Define(t.Context(), org, "s", listed(10)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := p.Filter(t.Context(), org, "s", audience.Exclude, query.ListedLeads{Phones: phones(20)[18:]}); err != nil {
				t.Fatal(err)
			}
			if err := w.db.Conn().Exec(t.Context(), "DELETE FROM send_lists WHERE "+lost); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Materialize(t.Context(), org, "s"); err != nil {
				t.Fatal(err)
			}
			send, err := p.Wait(t.Context(), org, "s")
			if err != nil || send.State != audience.SendFailed || !strings.Contains(send.Reason, name) {
				t.Errorf("%s %q %v", send.State, send.Reason, err)
			}
		})
	}
}

// A store that leaves in the middle costs a send nothing but time.
func TestARunIsBegunAgainWhenTheStoreLeaves(t *testing.T) {
	w := newWorld(t)
	var runs atomic.Int64
	p := w.sends(over(&replaced{materialize: materializeFunc(func(ctx context.Context, store query.SendStore, org leadevents.OrgID, run uint64, e audience.Evaluation, progress func(int, int)) (audience.Totals, error) {
		if runs.Add(1) < 3 {
			err := leadevents.Errorf(leadevents.Unavailable, "it is away")
			err.Unanswered = true
			return audience.Totals{}, err
		}
		return store.Materialize(ctx, org, run, e, progress)
	})}), nil)
	if _, _, err := p.Define(t.Context(), org, "s", listed(5)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Materialize(t.Context(), org, "s"); err != nil {
		t.Fatal(err)
	}
	w.result(p, "s", 5)
	if n := runs.Load(); n != 3 {
		t.Errorf("%d runs", n)
	}
}

// Many calls for one send are one run, and take the place of one.
func TestIdenticalCallsTakeOnePlace(t *testing.T) {
	w := newWorld(t)
	p := w.sends(nil, nil, func(c *query.SendConfig) { c.Workers, c.Queue = 1, 1 })
	for _, id := range []string{"a", "b"} {
		if _, _, err := p.Define(t.Context(), org, id, listed(5)); err != nil {
			t.Fatal(err)
		}
	}
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			if _, err := p.Materialize(t.Context(), org, "a"); err != nil {
				t.Errorf("one of many: %v", err)
			}
		})
	}
	if _, err := p.Materialize(t.Context(), org, "b"); err != nil {
		t.Errorf("another send: %v", err)
	}
	calls.Wait()
	w.result(p, "a", 5)
	w.result(p, "b", 5)
}

// Without locks a claim may meet a list filter. Whichever comes first, nobody is told
// that a list counts that does not, and no run goes by a list that was replaced.
func TestAClaimMeetsAListFilter(t *testing.T) {
	start := func(t *testing.T, kind audience.SendKind) (w *world, p, other *sendProcess, reached, goOn chan struct{}) {
		w = newWorld(t)
		paused, reached, goOn := pausedAt(kind)
		p, other = w.sends(over(paused), free{}), w.sends(nil, free{})
		if _, _, err := other.Define(t.Context(), org, "s", listed(10)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := other.Filter(t.Context(), org, "s", audience.Exclude, query.ListedLeads{Phones: phones(10)[9:]}); err != nil {
			t.Fatal(err)
		}
		return w, p, other, reached, goOn
	}
	two := query.ListedLeads{Phones: phones(10)[8:]}
	t.Run("the list comes while it is claimed", func(t *testing.T) {
		w, p, other, reached, goOn := start(t, audience.SendClaimed)
		claimed := make(chan error, 1)
		go func() { _, err := p.Materialize(t.Context(), org, "s"); claimed <- err }()
		<-reached
		if accepted, _, err := other.Filter(t.Context(), org, "s", audience.Exclude, two); err != nil || !accepted {
			t.Fatal(accepted, err)
		}
		close(goOn)
		if err := <-claimed; err != nil {
			t.Fatal(err)
		}
		w.result(other, "s", 8) // by the list that was accepted
	})
	t.Run("it is claimed while the list comes", func(t *testing.T) {
		w, p, other, reached, goOn := start(t, audience.SendListed)
		answered := make(chan error, 1)
		go func() { _, _, err := p.Filter(t.Context(), org, "s", audience.Exclude, two); answered <- err }()
		<-reached
		if _, err := other.Materialize(t.Context(), org, "s"); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		if err := <-answered; leadevents.KindOf(err) != leadevents.Unavailable && leadevents.KindOf(err) != leadevents.Conflict {
			t.Errorf("told accepted, or %v", err)
		}
		w.result(other, "s", 9)
		if _, _, err := p.Filter(t.Context(), org, "s", audience.Exclude, two); leadevents.KindOf(err) != leadevents.Conflict {
			t.Errorf("sent again: %v", err)
		}
	})
}

// Two runs of one send that end in the same moment: whichever counts, its leads are
// there.
func TestTwoRunsThatEndAtOnceLeaveAResult(t *testing.T) {
	w := newWorld(t)
	first, firstAtEnd, firstGoesOn := pausedAt(audience.SendDone)
	silent := make(chan struct{})
	first.blind = true
	first.leases = func(ctx context.Context, store query.SendStore, d time.Duration, leases ...audience.Lease) error {
		select {
		case <-silent:
			return nil
		default:
			return store.SetLeases(ctx, d, leases...)
		}
	}
	second, secondAtEnd, secondGoesOn := pausedAt(audience.SendDone)
	a := w.sends(over(first), free{})
	if _, _, err := a.Define(t.Context(), org, "s", listed(10)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Materialize(t.Context(), org, "s"); err != nil {
		t.Fatal(err)
	}
	<-firstAtEnd
	close(silent) // taken for dead
	b := w.sends(over(second), free{})
	<-secondAtEnd
	close(firstGoesOn)
	w.result(a, "s", 10)
	a.kill() // when it has removed what it removes
	close(secondGoesOn)
	eventually(t, "the second has ended", func() bool {
		log, err := w.db.SendLog(t.Context(), org, "s")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range log {
			if e.Kind == audience.SendDone {
				n++
			}
		}
		return n == 2
	})
	b.kill()
	w.result(w.sends(nil, nil), "s", 10)
}
