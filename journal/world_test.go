package journal_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"leadevents"
	"leadevents/auth"
	"leadevents/clickhouse"
	"leadevents/clickhouse/schema"
	"leadevents/ingest/ledger"
	"leadevents/internal/snapshot"
	"leadevents/internal/storetest"
	"leadevents/internal/storetest/credentials"
	"leadevents/journal"
	"leadevents/query/audience"
)

const (
	ours   leadevents.OrgID = 42
	theirs leadevents.OrgID = 43

	lead  leadevents.Phone = 15551234567
	other leadevents.Phone = 15551234568
)

// world is an organization with a lead that is everywhere, beside another one, and another
// organization that has the same.
type world struct {
	t     *testing.T
	ch    storetest.ClickHouseStore
	redis storetest.RedisStore
	db    *clickhouse.DB
	keys  *auth.Directory
	now   leadevents.Millis
	// columns are those of each table that hold texts, and organization_id.
	columns map[string][]string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, ch: storetest.ClickHouse(t), redis: storetest.Redis(t)}
	w.db = w.open()
	if err := schema.Migrate(t.Context(), w.db.Conn(), w.ch.Database); err != nil {
		t.Fatal(err)
	}
	w.columns = map[string][]string{}
	for _, column := range w.texts("SELECT table || ' ' || name FROM system.columns WHERE database = currentDatabase() AND (type IN ('String', 'FixedString(32)', 'FixedString(16)') OR name = 'organization_id')") {
		table, name, _ := strings.Cut(column, " ")
		w.columns[table] = append(w.columns[table], name)
	}
	master, err := auth.ParseMasterKey(auth.NewMasterKey())
	if err != nil {
		t.Fatal(err)
	}
	w.keys, err = auth.New(auth.Config{MasterKeys: auth.NewKeyring(master)}, credentials.NewMemory(), time.Now, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	now, err := w.db.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.now = now
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

func (w *world) ledgerOn(archive ledger.Archive) *ledger.Ledger {
	w.t.Helper()
	l, err := ledger.New(ledger.Config{
		Addr: w.redis.Addr, Password: w.redis.Password, Prefix: w.redis.Prefix,
		HeartbeatEvery: 200 * time.Millisecond,
	}, archive)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = l.Close() })
	return l
}

// process is a server process' erasures. kill ends its worker.
type process struct {
	*journal.Leads
	*journal.Erased
	kill func()
}

// start starts one; between stands before its store.
func (w *world) start(l journal.Ledger, locks journal.Locks, grace time.Duration, between func(journal.Store) journal.Store) *process {
	w.t.Helper()
	var store journal.Store = w.open()
	if between != nil {
		store = between(store)
	}
	p := &process{Erased: journal.NewErased(snapshot.Config{}, store, w.keys)}
	p.Leads = journal.New(journal.Config{
		Grace: grace, Poll: 200 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(storetest.Output("the log of erasures"), nil)),
	}, store, l, locks, w.keys, p.Erased)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	p.kill = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("erasures: %v", err)
		}
	})
	w.t.Cleanup(p.kill)
	return p
}

// eventually waits for what happens beside the test.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(30 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within three minutes", what)
		}
	}
}

// until waits for a status, and gives it.
func (w *world) until(p *process, what string, ok func(journal.Status) bool) (s journal.Status) {
	w.t.Helper()
	eventually(w.t, what, func() bool {
		var err error
		if s, err = p.Status(w.t.Context(), ours, lead); err != nil {
			w.t.Fatal(err)
		}
		return ok(s)
	})
	return s
}

func verified(s journal.Status) bool { return s.VerifiedAt != 0 }

func (w *world) number(sql string) (n uint64) {
	w.t.Helper()
	if err := w.db.Conn().QueryRow(w.t.Context(), sql).Scan(&n); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func (w *world) texts(sql string) (all []string) {
	w.t.Helper()
	rows, err := w.db.Conn().Query(w.t.Context(), sql)
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, text)
	}
	return all
}

// tables are all tables that keep something on the disk.
func (w *world) tables() []string {
	return w.texts("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name")
}

func (w *world) must(what string, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

// event stores a row as an insert does, without a key.
func (w *world) event(org leadevents.OrgID, phone leadevents.Phone, eventType string, at leadevents.Millis, batch leadevents.BatchID) {
	w.t.Helper()
	rows := &leadevents.Rows{IngestedAt: w.now}
	rows.Append(org, eventType, leadevents.Event{Phone: phone, OccurredAt: at, Metadata: []byte(`{}`)}, batch)
	w.must("insert an event", w.db.InsertEvents(w.t.Context(), rows, leadevents.NewBatchID().String(), ""))
}

// seal makes a batch the owner of keys.
func (w *world) seal(l *ledger.Ledger, batch leadevents.BatchID, keys ...leadevents.Key) (owner leadevents.BatchID) {
	w.t.Helper()
	owners, tokens := make([]leadevents.BatchID, len(keys)), make([]leadevents.BatchID, len(keys))
	for i := range tokens {
		tokens[i] = batch
	}
	eventually(w.t, "keys are sealed", func() bool { // the ledger may be examined at that moment
		view, err := l.Peek(w.t.Context(), keys, nil, owners)
		if err == nil {
			_, err = l.Seal(w.t.Context(), view, keys, tokens, 0, owners)
		}
		return err == nil
	})
	return owners[0]
}

// what the lead, and the other one, have in each organization.
const (
	events = 3 // of two types, one of them twice
	layer  = leadevents.Layer(11)
	list   = uint64(21)
	phones = uint64(22) // the list of a definition
	run    = uint64(31)
)

// fill stores both leads everywhere, in both organizations. Of every table that shows a
// phone it has at least one row of the lead.
func (w *world) fill(l *ledger.Ledger) {
	w.t.Helper()
	ctx := w.t.Context()
	for _, org := range []leadevents.OrgID{ours, theirs} {
		for i, phone := range []leadevents.Phone{lead, other} {
			for n, eventType := range []string{"bought", "bought", "left"} {
				at := w.now - leadevents.Millis(1000*(n+1)+i)
				if n == 1 {
					at = 1_400_000_000_000 // long ago: another partition
				}
				w.event(org, phone, eventType, at, 7)
				w.event(org, phone, eventType, at, 8) // twice
				w.seal(l, 7, leadevents.Key{Org: org, EventType: eventType, Phone: phone, OccurredAt: at})
			}
			// A claim of a request that died: it has no row.
			owners := make([]leadevents.BatchID, 1)
			_, err := l.Peek(ctx, []leadevents.Key{{Org: org, EventType: "bought", Phone: phone, OccurredAt: w.now}}, []leadevents.BatchID{9}, owners)
			w.must("claim a key", err)
			w.must("save a contest", w.db.SaveContests(ctx, []leadevents.Contest{{Key: leadevents.Key{Org: org, EventType: "bought", Phone: phone, OccurredAt: w.now}, Winner: 7, Loser: 8}}))
		}
		var piece leadevents.LeadPiece
		piece.Append(other, []byte("crm-1"))
		piece.Append(lead, []byte("crm-2"))
		w.must("stage", w.db.StageLeads(ctx, org, layer+leadevents.Layer(org), &piece))
		leads, err := w.db.FinishLayer(ctx, org, layer+leadevents.Layer(org), 2, nil)
		w.must("finish a layer", err)
		w.must("commit", w.db.CommitAudience(ctx, org, "customers", leadevents.AudienceCommit{Sequence: 1, Layer: layer + leadevents.Layer(org), Replaces: true, Leads: leads}))

		both := []leadevents.Phone{lead, other}
		w.must("store a list", w.db.StoreList(ctx, org, list, both, []string{"crm-1", "crm-9"}))
		w.must("store phones", w.db.StoreList(ctx, org, phones, both, nil))
		w.must("define", w.db.AddSendEntry(ctx, org, "spring", audience.SendEntry{Sequence: 1, ID: 1, Kind: audience.SendDefined, Definition: audience.Definition{
			Audience: audience.Reference{Source: audience.Listed}, Phones: phones, PhoneCount: 2, PhonesHash: audience.HashLeads("", both, nil), Filters: []audience.Filter{}}}))
		w.must("list", w.db.AddSendEntry(ctx, org, "spring", audience.SendEntry{Sequence: 2, ID: 2, Kind: audience.SendListed, ListFilter: audience.ListFilter{
			List: audience.List{ID: list, Mode: audience.Include}, Leads: 4, Hash: audience.HashLeads("include", both, []string{"crm-1", "crm-9"})}}))
		_, err = w.db.Materialize(ctx, org, run, w.bought(audience.Include), nil)
		w.must("materialize", err)

		receipt := leadevents.Receipt{Batch: 5, Org: org, EventType: "bought", State: leadevents.BatchDone, Received: 5, Rejected: 5, CreatedAt: w.now, FinishedAt: w.now}
		for i, spelling := range []string{"+15551234567", " 1 (555) 123-4567 ", "+15551234568", "tel 15551234567 / 44", "12"} {
			receipt.Rejects = append(receipt.Rejects, leadevents.RowReject{Index: i, HasPhone: true, Phone: spelling, Reason: "missing occurredAt"})
		}
		w.must("save a receipt", w.db.SaveReceipts(ctx, []leadevents.Receipt{receipt}))
	}
}

// bought is a question whether leads of the stored audience have bought.
func (w *world) bought(mode audience.Mode) audience.Evaluation {
	return audience.Evaluation{
		Leads:   audience.Leads{Source: audience.Stored, Layers: []leadevents.Layer{layer + leadevents.Layer(ours), layer + leadevents.Layer(theirs)}},
		Filters: []audience.Filter{{Mode: mode, EventType: "bought", MinCount: 1}}, FireAt: w.now, ClockSkew: time.Minute,
	}
}

// counts are what fill stores of a lead in one organization.
var counts = journal.Counts{
	journal.Events: events, journal.States: 2, journal.AudienceRows: 1, journal.UploadRows: 1, journal.ListRows: 2,
	journal.SendRows: 1, journal.EvidenceRows: 1, journal.Contests: 1, journal.Rejects: 3,
}

// shown is where a lead shows in our organization: table by table, masked rows and what is
// left of replaced parts too if physically, and in Redis.
func (w *world) shown(physically bool) []string {
	w.t.Helper()
	digits := strings.TrimPrefix(lead.String(), "+")
	settings := ""
	if physically {
		settings = " SETTINGS apply_deleted_mask = 0"
	}
	// As hashes that whoever has the tables could find by trying.
	var hashes []string
	for _, sum := range [][32]byte{
		sha256.Sum256([]byte(digits)), sha256.Sum256([]byte(lead.String())),
		audience.HashLeads("include", []leadevents.Phone{lead, other}, []string{"crm-1", "crm-9"}), audience.HashLeads("", []leadevents.Phone{lead, other}, nil),
		audience.HashLeads("include", []leadevents.Phone{lead}, nil), audience.HashLeads("", []leadevents.Phone{lead}, nil),
	} {
		hashes = append(hashes, fmt.Sprintf("'%X'", sum[:16]))
	}
	var found []string
	for _, table := range w.tables() {
		where := "position(toString(tuple(*)), '" + digits + "') > 0"
		for _, column := range w.columns[table] {
			if column == "organization_id" {
				continue
			}
			where += " OR multiSearchAny(hex(" + column + "), [" + strings.Join(hashes, ", ") + "])"
		}
		if slices.Contains(w.columns[table], "organization_id") {
			where = fmt.Sprintf("organization_id = %d AND (%s)", ours, where)
		}
		if n := w.number("SELECT count() FROM " + table + " WHERE " + where + settings); n > 0 {
			found = append(found, fmt.Sprintf("%s: %d rows", table, n))
		}
	}
	if physically {
		for _, part := range w.texts("SELECT table || ' ' || name FROM system.parts WHERE database = currentDatabase() AND (NOT active OR has_lightweight_delete) AND table IN ('lead_events', 'lead_states', 'audience_leads', 'send_leads', 'send_evidence', 'send_lists', 'contested', 'batch_rejects', 'journal')") {
			found = append(found, "part of "+part)
		}
		for _, command := range w.texts("SELECT command FROM system.mutations WHERE database = currentDatabase()") {
			if strings.Contains(command, digits) {
				found = append(found, "mutation: "+command)
			}
		}
	}
	return append(found, w.inRedis(ours)...)
}

// inRedis is where Redis has the lead's keys, of an organization.
func (w *world) inRedis(org leadevents.OrgID) (found []string) {
	w.t.Helper()
	client := w.client()
	var field [8]byte
	binary.BigEndian.PutUint64(field[:], uint64(lead))
	keys := client.Scan(w.t.Context(), 0, w.redis.Prefix+"k*", 1000).Iterator()
	for keys.Next(w.t.Context()) {
		if strings.Split(strings.TrimPrefix(keys.Val(), w.redis.Prefix), ":")[1] != map[leadevents.OrgID]string{ours: "16", theirs: "17"}[org] {
			continue
		}
		fields, err := client.HKeys(w.t.Context(), keys.Val()).Result()
		w.must("read a bucket", err)
		for _, f := range fields {
			if strings.HasPrefix(f, string(field[:])) {
				found = append(found, "Redis: "+keys.Val())
			}
		}
	}
	w.must("walk through Redis", keys.Err())
	return found
}

func (w *world) client() *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: w.redis.Addr, Password: w.redis.Password, Protocol: 2, DisableIdentity: true})
	w.t.Cleanup(func() { _ = client.Close() })
	return client
}

// strangers is a checksum of all that is not the lead's in our organization, by table.
func (w *world) strangers() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for _, table := range []string{"lead_events FINAL", "lead_states FINAL", "audience_leads", "audience_uploads FINAL", "send_lists", "send_leads", "send_evidence", "contested FINAL"} {
		all[table] = fmt.Sprint(w.texts(fmt.Sprintf("SELECT toString(tuple(*)) AS row FROM %s WHERE NOT (organization_id = %d AND phone = %d) ORDER BY row", table, ours, lead)))
	}
	all["rejects"] = fmt.Sprint(w.texts(fmt.Sprintf("SELECT toString((organization_id, batch_id, position, if(organization_id = %d AND position IN (0, 1, 3), NULL, phone), reason)) AS row FROM batch_rejects FINAL ORDER BY row", ours)))
	all["sends of others"] = fmt.Sprint(w.texts(fmt.Sprintf("SELECT toString(tuple(*)) AS row FROM sends WHERE organization_id != %d ORDER BY row", ours)))
	all["layers of others"] = fmt.Sprint(w.texts(fmt.Sprintf("SELECT toString(tuple(*)) AS row FROM audience_layers WHERE organization_id != %d ORDER BY row", ours)))
	all["Redis"] = fmt.Sprint(len(w.inRedis(theirs)))
	return all
}
