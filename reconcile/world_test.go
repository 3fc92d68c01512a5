package reconcile_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"leadevents"
	"leadevents/clickhouse"
	"leadevents/clickhouse/schema"
	"leadevents/ingest"
	"leadevents/ingest/ledger"
	"leadevents/internal/storetest"
	"leadevents/reconcile"
)

const org = leadevents.OrgID(42)

// world is a server's write path on real stores, and who reconciles it.
type world struct {
	*reconcile.Reconciler
	t        *testing.T
	db       *clickhouse.DB
	ingester *ingest.Ingester
	redis    *redis.Client
	prefix   string
	now      leadevents.Millis
}

func newWorld(t *testing.T, cfg reconcile.Config) *world {
	t.Helper()
	ch, rd := storetest.ClickHouse(t), storetest.Redis(t)
	db, err := clickhouse.Open(clickhouse.Config{Addrs: []string{ch.Native}, Database: ch.Database, User: ch.User, Password: ch.Password})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := schema.Migrate(t.Context(), db.Conn(), ch.Database); err != nil {
		t.Fatal(err)
	}
	of := ledger.Config{Addr: rd.Addr, Password: rd.Password, Prefix: rd.Prefix, HeartbeatEvery: 200 * time.Millisecond}
	l, err := ledger.New(of, db)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, prefix: rd.Prefix, now: leadevents.MillisOf(time.Now()),
		ingester: ingest.New(ingest.Config{Silence: 20 * time.Second}, db, l),
		redis:    redis.NewClient(&redis.Options{Addr: rd.Addr, Password: rd.Password, Protocol: 2}),
	}
	inspector := ledger.OpenInspector(of) // as check has it; a server's is the ledger's own
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, err := range []error{w.ingester.Close(ctx), l.Close(), w.redis.Close(), inspector.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	cfg.Settled, cfg.Sample = time.Millisecond, 20_000
	w.Reconciler = reconcile.New(cfg, db, inspector)
	return w
}

func (w *world) exec(statement string) {
	w.t.Helper()
	if err := w.db.Conn().Exec(w.t.Context(), statement+" SETTINGS lightweight_deletes_sync = 2"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(statement string) {
	w.t.Helper()
	if err := w.db.Conn().Exec(w.t.Context(), statement); err != nil {
		w.t.Fatal(err)
	}
}

// send stores n leads' events of a type, a second apart from at on, and says the batch.
func (w *world) send(eventType string, n int, at leadevents.Millis) leadevents.BatchID {
	w.t.Helper()
	return w.expect(eventType, n, at, n, 0)
}

func (w *world) expect(eventType string, n int, at leadevents.Millis, inserted, duplicates int) leadevents.BatchID {
	w.t.Helper()
	result, err := w.ingester.Submit(w.t.Context(), callOf(eventType, 0, n, at))
	if err != nil || result.Inserted != inserted || result.Duplicates != duplicates {
		w.t.Fatalf("%s: %+v, %v; want %d and %d", eventType, result, err, inserted, duplicates)
	}
	return result.Batch
}

func callOf(eventType string, first, n int, at leadevents.Millis) *ingest.Call {
	events := make([]leadevents.Event, n)
	for i := range events {
		events[i] = leadevents.Event{Phone: leadevents.Phone(15550000000 + first + i), OccurredAt: at + leadevents.Millis(i*1000), Metadata: []byte(`{}`)}
	}
	return &ingest.Call{Org: org, EventType: eventType, Received: n, Events: events}
}

// look looks at everything, and returns its differences in short.
func (w *world) look(repair bool) []string {
	w.t.Helper()
	report, err := w.Look(w.t.Context(), org, 0, 0, repair)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range report.Skipped {
		w.t.Errorf("not looked at: %s", s)
	}
	var all []string
	for _, d := range report.Differences {
		line := fmt.Sprintf("%s %s %d", d.EventType, d.Kind, d.Count)
		if d.Explained != "" {
			line += " explained"
		}
		if d.Repaired > 0 {
			line += fmt.Sprintf(" repaired %d", d.Repaired)
		}
		if d.Example == "" || d.Kind.What() == "" || d.Kind.Remedy() == "" {
			w.t.Errorf("%s: no example, or nothing is said of its kind: %+v", line, d)
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}
