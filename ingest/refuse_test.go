package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/auth"
	"leadevents/clickhouse"
	"leadevents/ingest"
	"leadevents/internal/snapshot"
	"leadevents/journal"
	"leadevents/retention"
)

// named is a call whose rows know their places, as a decoded one's do.
func named(eventType string, events ...leadevents.Event) *ingest.Call {
	c := call(eventType, slices.Clone(events)...)
	for i := range events {
		c.Index = append(c.Index, uint32(i))
	}
	return c
}

// oneKey is a data key that every process has.
type oneKey struct{}

func (oneKey) DataKeys(context.Context) ([]auth.PlainDataKey, error) {
	return []auth.PlainDataKey{{ID: "one", Key: make([]byte, 32)}}, nil
}

func (k oneKey) MakeDataKey(ctx context.Context) ([]auth.PlainDataKey, error) { return k.DataKeys(ctx) }

// kept are rules of retention that every organization has.
type kept retention.Rules

func (k *kept) Of(context.Context, leadevents.OrgID) (*retention.Rules, error) {
	return (*retention.Rules)(k), nil
}

// away cannot tell who is erased.
type away struct{}

func (away) Probe(context.Context, leadevents.OrgID) (*journal.Probe, error) {
	return nil, leadevents.Wrap(leadevents.Unavailable, errors.New("silent"), "it cannot be told at the moment which leads are erased; send the same request again")
}

// eraser is a process' erasures beside its write path.
func eraser(t *testing.T, db *clickhouse.DB, p *process, erased *journal.Erased, grace time.Duration) *journal.Leads {
	t.Helper()
	leads := journal.New(journal.Config{Grace: grace, Poll: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}, db, p.ledger, p.ledger, oneKey{}, erased)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- leads.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return leads
}

// Rows of an erased lead are rejected alone, in their order, and show no phone; so do
// other rejects of it. The count holds, in a dry run too, and allowed again it is new.
func TestAnErasedLeadIsRejectedUntilItIsAllowed(t *testing.T) {
	s := newStores(t)
	db := s.openDB(t)
	erased := journal.NewErased(snapshot.Config{}, db, oneKey{})
	s.ingest.Erased = erased
	p := s.start(t)
	leads := eraser(t, db, p, erased, time.Millisecond)
	at := leadevents.MillisOf(time.Now())
	send := func() *ingest.Call {
		c := named("bought", event(1, at), event(2, at), event(1, at+1), event(3, at))
		c.Index = []uint32{0, 2, 3, 5}
		c.Rejects = []leadevents.RowReject{
			{Index: 1, Reason: ingest.ReasonMissingOccurredAt, HasPhone: true, Phone: "1 555 000 0001"},
			{Index: 4, Reason: ingest.ReasonMissingOccurredAt, HasPhone: true, Phone: "+15550000004"},
		}
		c.Received = 6
		return c
	}
	if r := p.submit(send()); r.Inserted != 4 || r.Rejected != 2 {
		t.Fatalf("before: %+v", r)
	}
	if _, err := leads.Erase(t.Context(), 42, 15550000001); err != nil {
		t.Fatal(err)
	}
	want := []leadevents.RowReject{
		{Index: 0, Reason: "erased phoneE164"},
		{Index: 1, Reason: ingest.ReasonMissingOccurredAt},
		{Index: 3, Reason: "erased phoneE164"},
		{Index: 4, Reason: ingest.ReasonMissingOccurredAt, HasPhone: true, Phone: "+15550000004"},
	}
	for _, dry := range []bool{false, true} {
		c := send()
		c.DryRun = dry
		r := p.submit(c)
		if r.Inserted != 0 || r.Duplicates != 2 || r.Rejected != 4 || gocmp.Diff(want, r.Rejects) != "" {
			t.Errorf("dry run %t: %+v", dry, r)
		}
	}
	// A call of the lead alone, and of another organization.
	if r := p.submit(named("bought", event(1, at+2))); r.Rejected != 1 {
		t.Errorf("alone: %+v", r)
	}
	strange := named("bought", event(1, at))
	strange.Org = 43
	if r := p.submit(strange); r.Inserted != 1 {
		t.Errorf("another organization's: %+v", r)
	}
	again := func() (journal.Status, error) { return leads.Allow(t.Context(), 42, 15550000001) }
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := again(); err == nil {
			break
		} else if leadevents.KindOf(err) != leadevents.Conflict || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if r := p.submit(named("bought", event(1, at), event(1, at+1), event(2, at))); r.Inserted != 2 || r.Duplicates != 1 {
		t.Errorf("allowed again: %+v", r)
	}
	if st, err := again(); err != nil || st.State != journal.IsAllowed {
		t.Errorf("allowed twice: %+v, %v", st, err)
	}
	if st, err := leads.Erase(t.Context(), 42, 15550000001); err != nil || st.State == journal.IsAllowed || st.AllowedAt != 0 {
		t.Errorf("erased anew: %+v, %v", st, err)
	}
}

func TestNobodyIsLetInWhereNobodyKnowsWhoIsErased(t *testing.T) {
	s := newStores(t)
	s.ingest.Erased = away{}
	p := s.start(t)
	if _, err := p.ingester.Submit(t.Context(), named("bought", event(1, 1))); leadevents.KindOf(err) != leadevents.Unavailable {
		t.Errorf("%v", err)
	}
	if n := p.stored(); n != 0 {
		t.Errorf("%d events are stored", n)
	}
}

// What is older than it is kept is rejected to the millisecond, whether it is stored or not.
func TestAnExpiredEventIsRejected(t *testing.T) {
	s := newStores(t)
	now := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	s.ingest.Now = func() time.Time { return now }
	p := s.start(t)
	border := leadevents.MillisOf(now.Add(-10 * 24 * time.Hour))
	p.expect(named("seen", event(1, border-1), event(1, border)), 2, 0) // nothing expires here

	s.ingest.Retention = &kept{Days: 10, Types: map[string]int{"kept": retention.Forever, "short": 1}}
	q := s.start(t)
	r := q.submit(named("seen", event(1, border-1), event(1, border), event(2, border-1), event(2, border)))
	if r.Inserted != 1 || r.Duplicates != 1 || r.Rejected != 2 || r.Rejects[0].Reason != "expired occurredAt" || r.Rejects[0].Phone != "+15550000001" || r.Rejects[1].Index != 2 {
		t.Errorf("%+v", r)
	}
	q.expect(named("kept", event(1, border-1)), 1, 0)
	if r := q.submit(named("short", event(1, border))); r.Rejected != 1 {
		t.Errorf("%+v", r)
	}
}

// Three processes send events of a lead, and of others, all the while that it is erased.
// In the end nothing of it is stored; of the others every key was counted inserted once.
func TestAnErasedLeadStaysAwayUnderLoad(t *testing.T) {
	s := newStores(t)
	s.ledger.Deadline, s.ledger.ShortHorizon = 2*time.Second, 20*time.Second
	db := s.openDB(t)
	var processes []*process
	var first *journal.Erased
	for range 3 {
		erased := journal.NewErased(snapshot.Config{}, db, oneKey{})
		if first == nil {
			first = erased
		}
		s.ingest.Erased = erased
		processes = append(processes, s.start(t))
	}
	leads := eraser(t, db, processes[0], first, 12*time.Second) // 2 s of age, 10 s until a peek has ended, and some
	at := leadevents.MillisOf(time.Now()) - 3_600_000
	const lead = 15550000000
	var (
		inserted, rejected atomic.Int64
		verified           atomic.Bool
		late               atomic.Int64 // inserted after it was verified
		others             sync.Map
		senders            sync.WaitGroup
		stop               = make(chan struct{})
	)
	for n, p := range processes {
		for k := range 2 {
			senders.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					was := verified.Load()
					// The same events in two of three calls, so that they race.
					when := at + leadevents.Millis(i)
					own := event(1+n*2+k, when)
					c := named("seen", event(0, when), own)
					r, err := p.ingester.Submit(t.Context(), c)
					if err != nil {
						if leadevents.KindOf(err) != leadevents.Unavailable {
							t.Error(err)
						}
						continue
					}
					rejected.Add(int64(r.Rejected))
					if r.Rejected == 0 {
						inserted.Add(int64(r.Inserted))
						if was {
							late.Add(1)
						}
					}
					if r.Inserted+r.Duplicates < 1 {
						t.Errorf("another lead's event was refused: %+v", r)
					}
					others.Store(fmt.Sprint(own.Phone, when), true)
				}
			})
		}
	}
	await := func(what string, ok func(journal.Status) bool) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
			st, err := leads.Status(t.Context(), 42, lead)
			if err == nil && ok(st) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v, %v", what, st, err)
			}
		}
	}
	for inserted.Load() < 50 {
		time.Sleep(time.Millisecond)
	}
	if _, err := leads.Erase(t.Context(), 42, lead); err != nil {
		t.Fatal(err)
	}
	await("the erasure is verified", func(st journal.Status) bool { return st.VerifiedAt != 0 })
	verified.Store(true)
	before := rejected.Load()
	for rejected.Load() < before+20 {
		time.Sleep(time.Millisecond)
	}
	close(stop)
	senders.Wait()
	if n := late.Load(); n > 0 {
		t.Errorf("%d calls got the lead in after its erasure was verified", n)
	}
	for _, table := range []string{"lead_events", "lead_states", "contested"} {
		var n uint64
		if err := db.Conn().QueryRow(t.Context(), "SELECT count() FROM "+table+" WHERE phone = 15550000000").Scan(&n); err != nil || n != 0 {
			t.Errorf("%s has %d rows of the lead: %v", table, n, err)
		}
	}
	sent := 0
	others.Range(func(any, any) bool { sent++; return true })
	if n := processes[0].stored(); n < sent {
		t.Errorf("%d events of others are stored, %d were answered", n, sent)
	}
	for _, p := range processes[1:] { // what Redis remembers of the lead would be told now
		p.ledger.Believed(t.Context())
	}
	if n, err := processes[0].ledger.Forget(t.Context(), 42, []leadevents.Phone{lead}); err != nil || n != 0 {
		t.Errorf("%d keys of the lead were left: %v", n, err)
	}
}
