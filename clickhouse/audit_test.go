package clickhouse

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/audit"
	"leadevents/internal/storetest"
)

var sameAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// entryOf is the n-th entry of a log, a millisecond after the one before; every
// second one by the operator.
func entryOf(n int) audit.Entry {
	e := audit.Entry{
		ID: leadevents.NewID(), At: 1_778_610_840_000 + leadevents.Millis(n), Action: audit.APIKeyCreate, Outcome: audit.Begun,
		Actor:  audit.Actor{Type: audit.APIKey, ID: "7Kc9QmPxRt", Client: netip.MustParseAddr("203.0.113.7"), RequestID: "r'\\\t" + fmt.Sprint(n)},
		Object: fmt.Sprint(n), Detail: []byte(`{"name":"sieben 'n\\ \"Co\" 🚀"}`),
	}
	if n%2 == 1 {
		e.Action, e.Actor = audit.WebhooksUpdate, audit.Actor{Type: audit.Operator}
	}
	return e
}

func TestTheAuditLogIsReadAsItWasWritten(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	add := func(org leadevents.OrgID, e audit.Entry) {
		t.Helper()
		if err := db.AppendAudit(t.Context(), org, e); err != nil {
			t.Fatal(err)
		}
	}
	read := func(org leadevents.OrgID, which audit.Filter, after audit.Position, limit int) []audit.Entry {
		t.Helper()
		found, err := db.AuditEntries(t.Context(), org, which, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	var all []audit.Entry // newest first
	for n := range 9 {
		e := entryOf(n)
		if n >= 7 {
			e.At = entryOf(6).At // several in one millisecond are in the order of their ids
		}
		add(7, e)
		switch n % 3 {
		case 1: // twice, as after a lost answer, and in another part
			e.Outcome = audit.Done
			add(7, e)
			add(7, e)
		case 2: // the last word arrives with more to say
			e.Outcome, e.Detail = audit.Failed, []byte(`{"leads":7}`)
			add(7, e)
		}
		at := 0
		for at < len(all) && (all[at].At > e.At || all[at].At == e.At && all[at].ID > e.ID) {
			at++
		}
		all = append(all[:at], append([]audit.Entry{e}, all[at:]...)...)
	}
	add(8, entryOf(3))

	check := func(claim string, want, got []audit.Entry) {
		t.Helper()
		if diff := cmp.Diff(want, got, sameAddr); diff != "" {
			t.Errorf("%s: %s", claim, diff)
		}
	}
	for _, merged := range []bool{false, true} {
		if merged { // whatever merges do
			if err := db.conn.Exec(t.Context(), "OPTIMIZE TABLE audit_log FINAL"); err != nil {
				t.Fatal(err)
			}
		}
		check("all", all, read(7, audit.Filter{}, audit.Position{}, 100))
		check("the newest", all[:2], read(7, audit.Filter{}, audit.Position{}, 2))
		for i, e := range all {
			check("after one", all[i+1:min(i+4, len(all))], append([]audit.Entry{}, read(7, audit.Filter{}, audit.Position{At: e.At, ID: e.ID}, 3)...))
		}
		if got := read(9, audit.Filter{}, audit.Position{}, 100); len(got) != 0 {
			t.Errorf("an organization without entries has %+v", got)
		}
		where := func(holds func(audit.Entry) bool) (some []audit.Entry) {
			for _, e := range all {
				if holds(e) {
					some = append(some, e)
				}
			}
			return some
		}
		from, to := entryOf(2).At, entryOf(5).At
		check("a span, its end not in it", where(func(e audit.Entry) bool { return e.At >= from && e.At < to }), read(7, audit.Filter{From: from, To: to}, audit.Position{}, 100))
		check("an action", where(func(e audit.Entry) bool { return e.Action == audit.WebhooksUpdate }), read(7, audit.Filter{Action: audit.WebhooksUpdate}, audit.Position{}, 100))
		check("an actor", where(func(e audit.Entry) bool { return e.Actor.ID == "7Kc9QmPxRt" }), read(7, audit.Filter{Actor: "7Kc9QmPxRt"}, audit.Position{}, 100))
		check("a type of actors", where(func(e audit.Entry) bool { return e.Actor.Type == audit.Operator }), read(7, audit.Filter{Actor: "operator"}, audit.Position{}, 100))
		check("nobody", nil, read(7, audit.Filter{Actor: "' OR 1 = 1 --"}, audit.Position{}, 100))
	}
	var rows uint64
	if err := db.conn.QueryRow(t.Context(), "SELECT count() FROM audit_log WHERE organization_id = 7").Scan(&rows); err != nil || rows != 18 {
		t.Errorf("%d rows, %v: something of what was added is gone", rows, err)
	}
}

// An entry that was acknowledged outlives a crash of the store.
func TestAnEntryOutlivesACrash(t *testing.T) {
	engine := storetest.OwnClickHouse(t)
	db := credentialsIn(t, engine.Store())
	e := entryOf(0)
	if err := db.Credentials().AppendAudit(t.Context(), 7, e); err != nil {
		t.Fatal(err)
	}
	pid := engine.Endpoint().PID
	engine.Kill()
	engine.Await(pid)
	found, err := db.AuditEntries(t.Context(), 7, audit.Filter{}, audit.Position{}, 10)
	if err != nil || len(found) != 1 || found[0].ID != e.ID {
		t.Errorf("%+v, %v", found, err)
	}
}

var touchesAudit = regexp.MustCompile(`(\w+)\s+(?:\{database:Identifier\}\.)?audit_log\b`)

// Append-only: INSERT INTO, FROM and CREATE TABLE IF NOT EXISTS are all there is; the whole of the program's SQL adds to the audit log and reads it.
func TestNothingChangesTheAuditLog(t *testing.T) {
	verbs := map[string]int{}
	for _, pattern := range []string{"*.go", "sql/*.sql", "schema/*.go", "schema/migrations/*.sql", "../auth/*.go", "../query/*.go", "../cmd/*/*.go", "../cmd/internal/app/*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range touchesAudit.FindAllStringSubmatch(string(text), -1) {
				verbs[m[1]+" in "+strings.TrimLeft(filepath.Base(path), "0123456789_")]++
			}
		}
	}
	want := map[string]int{"INTO in audit.go": 1, "FROM in audit_page.sql": 1, "EXISTS in audit_log.sql": 1}
	if diff := cmp.Diff(want, verbs); diff != "" {
		t.Error(diff)
	}
}
