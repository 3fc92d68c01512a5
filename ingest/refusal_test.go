package ingest_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"leadevents"
	"leadevents/ingest"
	"leadevents/internal/storetest"
)

// A living store that refuses is not a dead one: the client is told what is wrong,
// so is /readyz, and all goes on when it is put right.

// refuses sends calls of both lanes until the store takes them no more, and holds
// what the client and the operator read.
func (p *process) refuses(name, says string) {
	p.t.Helper()
	for _, n := range []int{1, 2000} {
		_, err := p.ingester.Submit(p.t.Context(), call(fmt.Sprint(name, n), events(n, now())...))
		must503(p.t, err, says)
	}
}

// takes sends fresh calls of both lanes.
func (p *process) takes(name string) {
	p.t.Helper()
	for _, n := range []int{1, 2000} {
		list := events(n, now())
		p.wants(n, 0, fmt.Sprint(name, n), list)
		p.wants(0, n, fmt.Sprint(name, n), list)
	}
}

// alter changes the settings of the table of events.
func (p *process) alter(settings string) {
	p.t.Helper()
	if err := p.db.Conn().Exec(context.Background(), "ALTER TABLE lead_events "+settings); err != nil {
		p.t.Fatal(err)
	}
}

func TestAClickHouseThatRefusesSaysWhy(t *testing.T) {
	for _, c := range []struct{ name, refuse, settings, says string }{
		{"a full disk", "MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000", "min_free_disk_bytes_to_perform_insert",
			"the disk of the event store (ClickHouse) is full"},
		{"too many parts", "MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 1", "parts_to_delay_insert, parts_to_throw_insert",
			"too many parts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			click := storetest.OwnClickHouse(t)
			w := newWorld(t, func(s *stores) { s.ch = click.Store(); quick(s) })
			p := w.process
			if err := p.db.Conn().Exec(t.Context(), "SYSTEM STOP MERGES lead_events"); err != nil {
				t.Fatal(err)
			}
			p.takes("before")
			before := p.stored()
			p.alter(c.refuse)
			p.refuses("during", c.says)
			status, _ := p.ingester.Stores()
			if status.Open() || !strings.Contains(status.Refuses, c.says) || status.RefusesSince.IsZero() {
				t.Errorf("/readyz shows %+v", status)
			}
			if got := p.stored(); got != before {
				t.Errorf("%d keys are stored, want %d", got, before)
			}
			p.alter("RESET SETTING " + c.settings)
			p.takes("during") // what was refused, too: all of it is new
			p.takes("after")
			if status, _ := p.ingester.Stores(); status.Refuses != "" {
				t.Errorf("/readyz still shows %+v", status)
			}
			if got, want := p.stored(), 3*2001; got != want {
				t.Errorf("%d keys are stored, want %d", got, want)
			}
		})
	}
}

// What is at its limit is Redis: nothing is stored that could not be sealed.
func TestARedisOutOfMemorySaysSo(t *testing.T) {
	w := newWorld(t, func(s *stores) { quick(s) })
	p := w.process
	limit := func(bytes string) {
		if err := w.client().ConfigSet(t.Context(), "maxmemory", bytes).Err(); err != nil {
			t.Fatal(err)
		}
	}
	p.takes("before")
	before := p.stored()
	limit("1mb")
	eventually(t, "calls are refused", func() bool { _, redis := p.ingester.Stores(); return redis.Open() })
	const says = "(Redis) is out of memory"
	p.refuses("during", says)
	if _, redis := p.ingester.Stores(); !strings.Contains(redis.Reason, says) {
		t.Errorf("/readyz shows %+v", redis)
	}
	if got := p.stored(); got != before {
		t.Errorf("%d keys are stored, want %d", got, before)
	}
	limit("0")
	p.takes("during")
	p.takes("after")
	if got, want := p.stored(), 3*2001; got != want {
		t.Errorf("%d keys are stored, want %d", got, want)
	}
	if s := p.ledger.Status(); !trusted(s) || s.LastReason != "" {
		t.Errorf("being full made the ledger %+v", s)
	}
}

// The memory runs out between the insert and the seal: the rows are there, nobody
// was told, and sent again they are inserted.
func TestARedisThatIsFullAtTheSealLosesNoCount(t *testing.T) {
	var (
		w    *world
		once sync.Once
	)
	full := &betweenStore{after: func() {
		once.Do(func() {
			if err := w.client().ConfigSet(context.Background(), "maxmemory", "1mb").Err(); err != nil {
				t.Error(err)
			}
		})
	}}
	w = newWorld(t, func(s *stores) {
		s.betweenStore = func(st ingest.Store) ingest.Store { return full.wrap(st) }
		quick(s)
	})
	list := events(2000, now())
	_, err := w.process.ingester.Submit(t.Context(), call("full", list...))
	must503(t, err, "(Redis) is out of memory")
	if leadevents.KindOf(err) != leadevents.Unavailable {
		t.Fatalf("got %v", err)
	}
	if err := w.client().ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	w.process.wants(2000, 0, "full", list)
	w.process.wants(0, 2000, "full", list)
	if got := w.process.stored(); got != 2000 {
		t.Fatalf("%d keys are stored, want 2000", got)
	}
}
