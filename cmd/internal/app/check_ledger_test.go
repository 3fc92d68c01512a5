package app

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents/configs"
	"leadevents/ingest/ledger"
)

func TestCheckOfTheLedger(t *testing.T) {
	s := configs.Defaults()
	record := func(change func(*ledger.Trust)) *ledger.Trust {
		trust := &ledger.Trust{HorizonMs: s.Ledger.Horizon.Milliseconds(), Number: 4, Epoch: "e", Table: "u", State: ledger.Trusted, Since: 1_700_000_000_000}
		change(trust)
		return trust
	}
	as := func(state ledger.State) *ledger.Trust {
		return record(func(trust *ledger.Trust) { trust.State, trust.Reason = state, "Redis was restarted" })
	}
	archive := ledger.ArchiveState{Table: "u", Number: 4}
	for _, c := range []struct {
		claim        string
		archive      ledger.ArchiveState
		redis        ledger.Facts
		level        Level
		text, remedy string
	}{
		{"nothing was ever stored", ledger.ArchiveState{Table: "u", Empty: true}, ledger.Facts{}, OK, "begins it", ""},
		{"all is well", archive, ledger.Facts{Trust: record(func(*ledger.Trust) {})}, OK, "trusted since 2023-11-14T22:13:20", ""},
		{"Redis was flushed", archive, ledger.Facts{}, Warning, "flushed or replaced", "start a server"},
		{"events from elsewhere", ledger.ArchiveState{Table: "u"}, ledger.Facts{}, Warning, "no trust record", "start a server"},
		{"unreadable", archive, ledger.Facts{Trust: &ledger.Trust{}}, Warning, "cannot be read", "start a server"},
		{"another table", archive, ledger.Facts{Trust: record(func(trust *ledger.Trust) { trust.Table = "v" })}, Warning, "another table", "start a server"},
		{"an old backup", archive, ledger.Facts{Trust: record(func(trust *ledger.Trust) { trust.Number = 3 })}, Warning, "number 3, ClickHouse's 4", "start a server"},
		{"another horizon", archive, ledger.Facts{Trust: record(func(trust *ledger.Trust) { trust.HorizonMs /= 3 })}, Warning, "horizon is 72h0m0s, and the ledger was built for 24h", "nothing, if"},
		{"suspect, nobody at work", archive, ledger.Facts{Trust: as(ledger.Suspect)}, Warning, "Redis was restarted", "start a server"},
		{"rebuilding", archive, ledger.Facts{Trust: as(ledger.Rebuilding), Rebuild: ledger.Rebuild{Running: true, Keys: 12, Slices: 3}}, Warning, "12 keys have been set again, 3 slices", "nothing"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			f := checkLedger(s, c.archive, c.redis)
			if f.Level != c.level || f.Subject != "ledger" || !strings.Contains(f.Text, c.text) || !strings.HasPrefix(f.Remedy, c.remedy) || (c.remedy == "") != (f.Remedy == "") {
				t.Errorf("got %+v, want %s %q → %q", f, c.level, c.text, c.remedy)
			}
		})
	}
}

// The same on real stores: what a server notes is what the check reads.
func TestCheckReadsWhatServersNoteOfTheLedger(t *testing.T) {
	s := storeSettings(t)
	s.Ledger.RebuildRate = 1 // it lasts
	if err := Migrate(t.Context(), s, quiet()); err != nil {
		t.Fatal(err)
	}
	finds := func(level Level, text string) {
		t.Helper()
		for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			f, ok := find(checked(t, s), "ledger", text)
			if ok && f.Level == level {
				return
			}
			if time.Now().After(until) {
				t.Fatalf("not within a minute: the ledger is %s: %q, but %+v", level, text, checked(t, s))
			}
		}
	}
	finds(OK, "begins it")
	db, err := openClickHouse(s, dialers{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Conn().Exec(t.Context(), `INSERT INTO lead_events (organization_id, event_type, phone, occurred_at, ingested_at, batch_id)
		SELECT 1, 'e', 15551230000 + number, now64(3), now64(3), 1 FROM numbers(1000)`); err != nil {
		t.Fatal(err)
	}
	finds(Warning, "no trust record")
	cfg, err := ledgerConfig(s, dialers{}, quiet(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.New(cfg, db)
	if err != nil {
		t.Fatal(err)
	}
	finds(Warning, "it is rebuilding (Redis is empty")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	finds(Warning, "no server rebuilds it")
	cfg.RebuildRate, cfg.Metrics = 0, prometheus.NewRegistry()
	if l, err = ledger.New(cfg, db); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	finds(OK, "it is trusted since")
}
