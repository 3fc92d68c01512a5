package query_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/clickhouse"
	"leadevents/clickhouse/schema"
	"leadevents/ingest/ledger"
	"leadevents/internal/storetest"
	"leadevents/query"
	"leadevents/query/upload"
)

const org leadevents.OrgID = 42

// world is real stores, and server processes' audiences on them.
type world struct {
	t     *testing.T
	ch    storetest.ClickHouseStore
	redis storetest.RedisStore
	db    *clickhouse.DB // to look at what is there
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, ch: storetest.ClickHouse(t), redis: storetest.Redis(t)}
	w.db = w.open()
	if err := schema.Migrate(t.Context(), w.db.Conn(), w.ch.Database); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) open() *clickhouse.DB {
	w.t.Helper()
	db, err := clickhouse.Open(clickhouse.Config{Addrs: []string{w.ch.Native}, Database: w.ch.Database, User: w.ch.User, Password: w.ch.Password})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = db.Close() })
	return db
}

// process is another process' audiences; between stands before its store, and
// locks replaces Redis', if they are given.
func (w *world) process(between func(query.AudienceStore) query.AudienceStore, locks query.Locks) *query.Audiences {
	w.t.Helper()
	var store query.AudienceStore = w.open()
	if locks == nil {
		l, err := ledger.New(ledger.Config{Addr: w.redis.Addr, Password: w.redis.Password, Prefix: w.redis.Prefix}, store.(*clickhouse.DB))
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = l.Close() })
		locks = l
	}
	if between != nil {
		store = between(store)
	}
	return query.NewAudiences(query.AudienceConfig{
		MaxUploads: 2, InsertTimeout: 10 * time.Second, FinishTimeout: time.Minute,
		Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	}, store, locks)
}

// content is an audience as a send reads it: "phone:id …" by phone; each phone's
// id is that of the first layer that has it.
func (w *world) content(id string) string {
	w.t.Helper()
	layers, found, err := w.db.AudienceLayers(w.t.Context(), org, id)
	if err != nil {
		w.t.Fatal(err)
	}
	if !found {
		return "none"
	}
	ids := map[uint64]string{}
	for _, layer := range layers {
		for _, lead := range w.leads(layer) {
			if _, there := ids[lead.phone]; !there {
				ids[lead.phone] = lead.id
			}
		}
	}
	var all []string
	for phone, id := range ids {
		all = append(all, fmt.Sprintf("%d:%s", phone, id))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

type lead struct {
	phone uint64
	id    string
}

func (w *world) leads(layer leadevents.Layer) (all []lead) {
	w.t.Helper()
	rows, err := w.db.Conn().Query(w.t.Context(), `SELECT phone, external_id FROM audience_leads WHERE organization_id = ? AND layer = ? ORDER BY phone`, uint64(org), layer)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var l lead
		if err := rows.Scan(&l.phone, &l.id); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, l)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *world) count(table string) (n uint64) {
	w.t.Helper()
	if err := w.db.Conn().QueryRow(w.t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// rows is an upload: of each number the phone 1555<number>, with the id; n < 0 is
// a row that is rejected.
type rows struct {
	n   int
	row func(i int) (n int, id string)
	end error // io.EOF without one

	next       int
	phone, ids []byte
}

// Next implements upload.Reader.
func (r *rows) Next(l *upload.Lead) error {
	if r.next == r.n {
		if r.end != nil {
			return r.end
		}
		return io.EOF
	}
	n, id := r.row(r.next)
	r.next++
	r.phone = fmt.Appendf(r.phone[:0], "+1555%07d", n)
	r.ids = append(r.ids[:0], id...)
	*l = upload.Lead{Phone: r.phone, HasPhone: true, ExternalID: r.ids}
	return nil
}

// numbers is an upload of some numbers, all with one id.
func numbers(id string, list ...int) *rows {
	return &rows{n: len(list), row: func(i int) (int, string) { return list[i], id }}
}

// between is from, from+1 … to−1.
func between(from, to int) []int {
	var list []int
	for n := from; n < to; n++ {
		list = append(list, n)
	}
	return list
}

// told is an answer as a short text.
func told(u query.Uploaded) string {
	return fmt.Sprintf("%d=%d+%d+%d", u.Received, u.Stored, u.Duplicates, u.Rejected)
}

// free is locks that are lost at once: everybody gets every one.
type free struct{}

// Hold implements query.Locks.
func (free) Hold(context.Context, string, time.Duration) (bool, func(), error) {
	return true, func() {}, nil
}

// broken is a store that fails at chosen calls.
type broken struct {
	query.AudienceStore
	fail func(step string) (before, after bool)
}

var errBroken = leadevents.Errorf(leadevents.Unavailable, "broken by the test")

func (b *broken) at(step string, do func() error) error {
	before, after := b.fail(step)
	if before {
		return errBroken
	}
	if err := do(); err != nil || !after {
		return err
	}
	return errBroken
}

func (b *broken) StageLeads(ctx context.Context, org leadevents.OrgID, layer leadevents.Layer, piece *leadevents.LeadPiece) error {
	return b.at("stage", func() error { return b.AudienceStore.StageLeads(ctx, org, layer, piece) })
}

func (b *broken) FinishLayer(ctx context.Context, org leadevents.OrgID, layer leadevents.Layer, rows uint64, others []leadevents.Layer) (leads uint64, err error) {
	err = b.at("finish", func() (err error) {
		leads, err = b.AudienceStore.FinishLayer(ctx, org, layer, rows, others)
		return err
	})
	return leads, err
}

func (b *broken) MergeLayers(ctx context.Context, org leadevents.OrgID, into leadevents.Layer, layers []leadevents.Layer) (leads uint64, err error) {
	err = b.at("merge", func() (err error) {
		leads, err = b.AudienceStore.MergeLayers(ctx, org, into, layers)
		return err
	})
	return leads, err
}

func (b *broken) CommitAudience(ctx context.Context, org leadevents.OrgID, id string, c leadevents.AudienceCommit) error {
	return b.at("commit", func() error { return b.AudienceStore.CommitAudience(ctx, org, id, c) })
}

func (b *broken) DropUpload(ctx context.Context, layer leadevents.Layer) error {
	return b.at("drop", func() error { return b.AudienceStore.DropUpload(ctx, layer) })
}
