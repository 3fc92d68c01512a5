package journal_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/audit"
	"leadevents/ingest/ledger"
	"leadevents/journal"
	"leadevents/query/audience"
)

// A lead is erased everywhere, and nothing else is; what is told of it is consistent
// afterwards, and its bytes leave the disk.
func TestALeadIsErasedEverywhere(t *testing.T) {
	w := newWorld(t)
	// ClickHouse looks for parts that were replaced after half a minute, and again after up to
	// five if there was little to do: on a busy machine later than this test waits.
	for _, table := range w.tables() {
		w.must("have old parts looked for", w.db.Conn().Exec(t.Context(), "ALTER TABLE "+table+
			" MODIFY SETTING old_parts_lifetime = 1, cleanup_delay_period = 1, cleanup_delay_period_random_add = 0, max_cleanup_delay_period = 2"))
	}
	l := w.ledgerOn(w.db)
	w.fill(l)
	before, shown := w.strangers(), w.shown(false)
	if len(shown) < 12 {
		t.Fatalf("the world has the lead only at %q", shown)
	}
	p := w.start(l, l, 200*time.Millisecond, nil)
	if _, err := p.Status(t.Context(), ours, lead); leadevents.KindOf(err) != leadevents.NotFound {
		t.Errorf("before: %v", err)
	}
	asked, err := p.Erase(t.Context(), ours, lead)
	if err != nil || asked.RequestedAt == 0 {
		t.Fatalf("%+v, %v", asked, err)
	}
	if again, err := p.Erase(t.Context(), ours, lead); err != nil || again.RequestedAt != asked.RequestedAt {
		t.Errorf("again: %+v, %v; want the same erasure as %+v", again, err, asked)
	}
	if s, err := p.Wait(t.Context(), ours, lead); err != nil || s.State != journal.IsErased {
		t.Fatalf("%+v, %v", s, err)
	}
	s := w.until(p, "the erasure is verified", verified)
	if diff := gocmp.Diff(counts, s.Counts); diff != "" {
		t.Errorf("counts (-want +got): %s", diff)
	}
	eventually(t, "the phone is out of the journal", func() bool { return len(w.shown(false)) == 0 })
	if diff := gocmp.Diff(before, w.strangers()); diff != "" {
		t.Errorf("more than the lead was erased: %s", diff)
	}
	w.told()

	w.until(p, "the erasure is purged", func(s journal.Status) bool { return s.PurgedAt != 0 })
	eventually(t, "nothing is on the disk", func() bool { return len(w.shown(true)) == 0 })
	if diff := gocmp.Diff(before, w.strangers()); diff != "" {
		t.Errorf("the purge removed more: %s", diff)
	}
	if n := w.number("SELECT count() FROM journal WHERE phone != 0"); n != 0 {
		t.Errorf("%d records have a phone", n)
	}
	entries, err := w.db.AuditEntries(t.Context(), ours, audit.Filter{Action: audit.LeadErase}, audit.Position{}, 10)
	if err != nil || len(entries) != 1 || len(entries[0].Object) != 16 || entries[0].Outcome != audit.Done {
		t.Errorf("audit log: %+v, %v", entries, err)
	}
}

// told holds what is told of the lead's surroundings to what is there.
func (w *world) told() {
	w.t.Helper()
	log, err := w.db.AudienceLog(w.t.Context(), ours, "customers")
	w.must("read the audience", err)
	if a, _ := log.Audience("customers"); a.Leads != 1 {
		w.t.Errorf("the audience tells of %d leads", a.Leads)
	}
	sends, err := w.db.SendLog(w.t.Context(), ours, "spring")
	w.must("read the send", err)
	send, _ := sends.Send()
	if got, want := send.ListFilter.Hash, audience.HashLeads("include", []leadevents.Phone{other}, []string{"crm-1", "crm-9"}); send.ListFilter.Leads != 3 || got != want {
		w.t.Errorf("the list filter has %d leads, and the hash %x, want %x", send.ListFilter.Leads, got, want)
	}
	if got, want := send.Definition.PhonesHash, audience.HashLeads("", []leadevents.Phone{other}, nil); send.Definition.PhoneCount != 1 || got != want {
		w.t.Errorf("the definition has %d phones, and the hash %x, want %x", send.Definition.PhoneCount, got, want)
	}
	for id, least := range map[uint64]uint64{list: 3, phones: 1} {
		if n, err := w.db.ListLeads(w.t.Context(), ours, id); err != nil || n < least {
			w.t.Errorf("list %d is missing leads: %d, %v", id, n, err)
		}
	}
	receipt, found, err := w.db.Receipt(w.t.Context(), ours, 5, 50)
	if err != nil || !found || receipt.Rejected != 5 || len(receipt.Rejects) != 5 || receipt.Rejects[0].HasPhone || receipt.Rejects[1].HasPhone || !receipt.Rejects[2].HasPhone || receipt.Rejects[3].HasPhone || !receipt.Rejects[4].HasPhone {
		w.t.Errorf("rejects: %+v, %v", receipt, err)
	}
}

// asked is what filters and results say from the moment that a lead is to be erased: it
// is nobody's. Who names it in a request is told so by the hash, once the phone is out of
// the journal (package query).
func (w *world) asked() {
	w.t.Helper()
	named := audience.Leads{Source: audience.Listed, Phones: []leadevents.Phone{other}}
	if w.number(fmt.Sprintf("SELECT count() FROM journal WHERE phone = %d", lead)) > 0 {
		named.Phones = append(named.Phones, lead)
	}
	for mode, want := range map[audience.Mode]audience.Totals{
		audience.Include: {Total: 1, Kept: 1, DroppedByFilters: []uint64{0}},
		audience.Exclude: {Total: 1, Kept: 0, DroppedByFilters: []uint64{1}}, // the other one has bought
	} {
		got, err := w.db.Preview(w.t.Context(), ours, w.bought(mode))
		if diff := gocmp.Diff(want, got); err != nil || diff != "" {
			w.t.Errorf("preview by %s: %v, %s", mode, err, diff)
		}
		id := leadevents.NewID()
		got, err = w.db.Materialize(w.t.Context(), ours, id, w.bought(mode), nil)
		if diff := gocmp.Diff(want, got); err != nil || diff != "" {
			w.t.Errorf("materialized by %s: %v, %s", mode, err, diff)
		}
	}
	e := w.bought(audience.Include)
	for name, leads := range map[string]audience.Leads{
		"by their phones": named,
		"who ever had":    {Source: audience.EverHad, EventType: "left"},
		"all":             {Source: audience.EveryLead},
	} {
		e.Leads = leads
		if got, err := w.db.Preview(w.t.Context(), ours, e); err != nil || got.Total != 1 || got.Kept != 1 {
			w.t.Errorf("preview of leads %s: %+v, %v", name, got, err)
		}
	}
	kept := 0
	err := w.db.SendLeads(w.t.Context(), ours, run, func(phones []leadevents.Phone, _ []string) error {
		for _, p := range phones {
			if kept++; p == lead {
				w.t.Error("the frozen result shows the lead")
			}
		}
		return nil
	})
	if err != nil || kept != 1 {
		w.t.Errorf("the frozen result has %d leads: %v", kept, err)
	}
	if _, found, err := w.db.SendVerdict(w.t.Context(), ours, run, e.Filters, lead); err != nil || found {
		w.t.Errorf("the lead is explained: %t, %v", found, err)
	}
}

// stepper is called before and after every step of a worker, and fails the step where it does.
type stepper func(step string) error

func (s stepper) step(name string, do func() error) error {
	if err := s("before " + name); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return s("after " + name)
}

// stepped are the steps of a worker at erasures.
type stepped struct {
	journal.Store
	stepper
}

func (s *stepped) Collect(ctx context.Context, org leadevents.OrgID, entries []uint64) (found map[uint64]journal.Found, err error) {
	err = s.step("collect", func() error { found, err = s.Store.Collect(ctx, org, entries); return err })
	return found, err
}

func (s *stepped) AppendJournal(ctx context.Context, org leadevents.OrgID, records ...journal.Record) error {
	if len(records) == 0 || records[0].Step == journal.Begun {
		return s.Store.AppendJournal(ctx, org, records...)
	}
	return s.step("record "+string(records[0].Step), func() error { return s.Store.AppendJournal(ctx, org, records...) })
}

func (s *stepped) RemoveEvents(ctx context.Context, org leadevents.OrgID, entries []uint64) error {
	return s.step("events", func() error { return s.Store.RemoveEvents(ctx, org, entries) })
}

func (s *stepped) RemoveStates(ctx context.Context, org leadevents.OrgID, entries []uint64) error {
	return s.step("states", func() error { return s.Store.RemoveStates(ctx, org, entries) })
}

func (s *stepped) RemoveElsewhere(ctx context.Context, org leadevents.OrgID, entries []uint64) error {
	return s.step("elsewhere", func() error { return s.Store.RemoveElsewhere(ctx, org, entries) })
}

func (s *stepped) RecountLayers(ctx context.Context, org leadevents.OrgID, layers []leadevents.Layer) error {
	return s.step("layers", func() error { return s.Store.RecountLayers(ctx, org, layers) })
}

func (s *stepped) RehashLists(ctx context.Context, org leadevents.OrgID, lists []uint64) error {
	return s.step("lists", func() error { return s.Store.RehashLists(ctx, org, lists) })
}

func (s *stepped) BlankPhones(ctx context.Context, org leadevents.OrgID, entries []uint64) error {
	return s.step("blank", func() error { return s.Store.BlankPhones(ctx, org, entries) })
}

// steps are all places at which a worker may die.
var steps = []string{
	"before collect", "after collect", "before record collected", "after record collected",
	"before events", "after events", "before states", "after states", "before elsewhere", "after elsewhere",
	"before layers", "after layers", "before lists", "after lists", "before record removed", "after record removed",
	"before record verified", "after record verified", "before blank", "after blank",
}

var errDied = errors.New("the process has died")

// A worker that dies anywhere is gone on from by another one, and the counts are those of
// what there was; filters are right all the while.
func TestACrashAtAnyStepIsGoneOnFrom(t *testing.T) {
	for _, at := range steps {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l := w.ledgerOn(w.db)
			w.fill(l)
			before := w.strangers()
			died := make(chan struct{})
			die := sync.OnceFunc(func() { close(died) })
			first := w.start(l, alone{}, 200*time.Millisecond, func(store journal.Store) journal.Store {
				return &stepped{store, func(step string) error {
					if step == at {
						die()
					}
					select {
					case <-died: // and does nothing any more
						return errDied
					default:
						return nil
					}
				}}
			})
			if _, err := first.Erase(t.Context(), ours, lead); err != nil {
				t.Fatal(err)
			}
			select {
			case <-died:
			case <-time.After(time.Minute):
				t.Fatal("no worker came there")
			}
			first.kill()
			w.asked()
			second := w.start(l, alone{}, 200*time.Millisecond, nil)
			s := w.until(second, "another one has verified it", verified)
			if diff := gocmp.Diff(counts, s.Counts); diff != "" {
				t.Errorf("counts (-want +got): %s", diff)
			}
			eventually(t, "nothing shows the lead", func() bool { return len(w.shown(false)) == 0 })
			w.told()
			// asked has made other runs.
			if diff := gocmp.Diff(without(before, "send_leads", "send_evidence"), without(w.strangers(), "send_leads", "send_evidence")); diff != "" {
				t.Errorf("more than the lead was erased: %s", diff)
			}
		})
	}
}

func without(all map[string]string, names ...string) map[string]string {
	for _, name := range names {
		delete(all, name)
	}
	return all
}

// alone is a lock that is always free: two workers may be at work at once.
type alone struct{}

func (alone) Hold(context.Context, string, time.Duration) (bool, func(), error) {
	return true, func() {}, nil
}

// Filters and results leave the lead out at every step, from the answer on.
func TestFiltersAreRightAtEveryStep(t *testing.T) {
	w := newWorld(t)
	l := w.ledgerOn(w.db)
	w.fill(l)
	reached, goOn := make(chan string), make(chan struct{})
	p := w.start(l, l, 200*time.Millisecond, func(store journal.Store) journal.Store {
		return &stepped{store, func(step string) error {
			reached <- step
			<-goOn
			return nil
		}}
	})
	if _, err := p.Erase(t.Context(), ours, lead); err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, s := range steps {
		left[s] = true
	}
	for len(left) > 0 {
		select {
		case step := <-reached:
			if left[step] {
				w.asked()
				if t.Failed() {
					t.Fatalf("at %q", step)
				}
			}
			delete(left, step)
			goOn <- struct{}{}
		case <-time.After(time.Minute):
			t.Fatalf("no worker came to %v", left)
		}
	}
	// What comes after is not looked at.
	go func() {
		for range reached {
			goOn <- struct{}{}
		}
	}()
	p.kill()
	close(reached)
	w.asked()
}

// A request that looked before the lead was erased stores and seals after the first pass:
// that is removed too, and the erasure is not verified before.
func TestWhatComesLateIsErasedToo(t *testing.T) {
	w := newWorld(t)
	l := w.ledgerOn(w.db)
	w.fill(l)
	p := w.start(l, l, 3*time.Second, nil)
	if _, err := p.Erase(t.Context(), ours, lead); err != nil {
		t.Fatal(err)
	}
	s := w.until(p, "the first pass is through", func(s journal.Status) bool { return s.State == journal.IsErased })
	if s.VerifiedAt != 0 {
		t.Fatal("verified within the grace")
	}
	late := w.now - 5
	w.event(ours, lead, "late", late, 99)
	w.seal(l, 99, leadevents.Key{Org: ours, EventType: "late", Phone: lead, OccurredAt: late})
	w.asked()
	s = w.until(p, "the erasure is verified", verified)
	eventually(t, "nothing shows the lead", func() bool { return len(w.shown(false)) == 0 })
	if s.Counts[journal.Events] != counts[journal.Events]+1 || s.Counts[journal.States] != counts[journal.States]+1 {
		t.Errorf("counts: %v", s.Counts)
	}
}

// pausing is an archive whose rebuild stands still once it has read rows, until it may go on.
type pausing struct {
	ledger.Archive
	read, goOn chan struct{}
	once       sync.Once
	armed      atomic.Bool
}

func (a *pausing) StreamKeys(ctx context.Context, s ledger.Stretch, f func([]leadevents.Key, []leadevents.BatchID) error) error {
	return a.Archive.StreamKeys(ctx, s, func(keys []leadevents.Key, owners []leadevents.BatchID) error {
		for _, k := range keys {
			if k.Phone == lead && k.Org == ours && a.armed.Load() {
				a.once.Do(func() { close(a.read); <-a.goOn })
			}
		}
		return f(keys, owners)
	})
}

// Redis is lost, and its rebuild has read the lead's rows before they were deleted: it
// sets their keys behind the first pass. The erasure is not verified with them.
func TestARebuildBringsNothingBack(t *testing.T) {
	w := newWorld(t)
	archive := &pausing{Archive: w.db, read: make(chan struct{}), goOn: make(chan struct{})}
	l := w.ledgerOn(archive)
	w.fill(l)
	archive.armed.Store(true)
	client := w.client()
	keys, err := client.Keys(t.Context(), w.redis.Prefix+"*").Result()
	w.must("list keys", err)
	w.must("lose Redis", client.Del(t.Context(), keys...).Err()) // the server is shared by tests
	select {
	case <-archive.read:
	case <-time.After(time.Minute):
		t.Fatal("no rebuild has read the lead's rows")
	}
	p := w.start(l, alone{}, 100*time.Millisecond, nil)
	if _, err := p.Erase(t.Context(), ours, lead); err != nil {
		t.Fatal(err)
	}
	w.until(p, "the first pass is through", func(s journal.Status) bool { return s.State == journal.IsErased })
	w.asked()
	if _, trusted := l.Believed(t.Context()); trusted {
		t.Fatal("the ledger is trusted while it is rebuilt")
	}
	if s := w.until(p, "there is a status", func(journal.Status) bool { return true }); s.VerifiedAt != 0 {
		t.Fatal("verified while a rebuild is under way")
	}
	close(archive.goOn)
	w.until(p, "the erasure is verified", verified)
	if found := w.inRedis(ours); len(found) != 0 {
		t.Errorf("the rebuild has brought back %q", found)
	}
	if len(w.inRedis(theirs)) == 0 {
		t.Error("the rebuild has brought nothing back of the others")
	}
}

// After all of Redis is lost nothing of the lead comes back, whenever that is.
func TestTheLossOfRedisBringsNothingBack(t *testing.T) {
	w := newWorld(t)
	l := w.ledgerOn(w.db)
	w.fill(l)
	p := w.start(l, alone{}, 100*time.Millisecond, nil)
	if _, err := p.Erase(t.Context(), ours, lead); err != nil {
		t.Fatal(err)
	}
	lose := func() {
		client := w.client()
		keys, err := client.Keys(t.Context(), w.redis.Prefix+"*").Result()
		w.must("list keys", err)
		w.must("lose Redis", client.Del(t.Context(), keys...).Err())
		eventually(t, "the ledger is trusted again", func() bool {
			_, trusted := l.Believed(t.Context())
			return trusted && len(w.inRedis(theirs)) > 0
		})
	}
	lose()
	w.until(p, "the erasure is verified", verified)
	lose()
	if found := w.shown(false); len(found) > 0 {
		t.Errorf("it is back: %q", found)
	}
}

// A statement that read rows before they were deleted, and writes them after: it is
// waited for, and what it wrote is removed.
func TestAStatementUnderWayIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	l := w.ledgerOn(w.db)
	w.fill(l)
	writes := make(chan error, 1)
	slow := w.open()
	go func() {
		writes <- slow.Conn().Exec(context.WithoutCancel(t.Context()), fmt.Sprintf("INSERT INTO audience_leads (organization_id, layer, phone, external_id) "+
			"SELECT organization_id, 77, phone, external_id FROM audience_leads WHERE organization_id = %d AND phone = %d AND sleepEachRow(2) = 0 SETTINGS max_block_size = 1", ours, lead))
	}()
	eventually(t, "the statement runs", func() bool {
		ids, err := w.db.Writers(t.Context())
		w.must("look for writers", err)
		return len(ids) > 0
	})
	p := w.start(l, l, time.Millisecond, nil)
	if _, err := p.Erase(t.Context(), ours, lead); err != nil {
		t.Fatal(err)
	}
	w.until(p, "the erasure is verified", verified)
	select {
	case err := <-writes:
		w.must("write slowly", err)
	default:
		t.Error("verified while a statement was writing")
	}
	eventually(t, "nothing shows the lead", func() bool { return len(w.shown(false)) == 0 })
}
