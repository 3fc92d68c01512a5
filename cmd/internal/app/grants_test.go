package app

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents/auth"
	"leadevents/clickhouse/embedded"
	"leadevents/journal"
	"leadevents/retention"
)

var grantLine = regexp.MustCompile(`(?m)^(GRANT .*) TO leadevents_server( WITH GRANT OPTION)?;$`)

// What SECURITY.md grants to the server's own user is enough for all that a server
// does, and not for a change of the audit log.
func TestTheGrantsOfThisPageAreEnough(t *testing.T) {
	page, err := os.ReadFile("../../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	var grants []string
	for _, m := range grantLine.FindAllStringSubmatch(string(page), -1) {
		// The engine makes no users: those of its pool take the place of the organizations'.
		grants = append(grants, strings.ReplaceAll(m[1], "leadevents_q_", "leadevents_analyst_")+m[2])
	}
	if len(grants) < 2 || len(grants) != strings.Count(string(page), "\nGRANT ") {
		t.Fatalf("the page's grants are not read: %q", grants)
	}
	engine, err := embedded.Start(t.Context(), embedded.Config{
		DataDir: t.TempDir(), Databases: []string{"leadevents"}, MemoryLimitBytes: 2 << 30,
		Analysts: embedded.Analysts{Users: 2, Password: "pw-4b7e19c2d0f3"},
		Users:    []embedded.User{{Name: "leadevents_server", Password: "pw-4b7e19c2d0f3", Grants: grants}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = engine.Stop(context.Background()) }()

	s, from := storeSettings(t), newSender(t)
	e := engine.Endpoint()
	s.ClickHouse.Addrs, s.ClickHouse.Database, s.ClickHouse.User, s.ClickHouse.Password = []string{e.Native}, "leadevents", e.User, auth.NewSecret(e.Password)
	s.ClickHouse.HTTPAddrs, s.SQL.UserPool = []string{e.HTTP}, 2
	prove(t, &s, from)
	hasten(&s)
	s.ClickHouse.User, s.ClickHouse.Password = "leadevents_server", auth.NewSecret("pw-4b7e19c2d0f3")
	administer(t, s, func(d *auth.Directory) error { // a command
		_, err := d.CreateKey(t.Context(), keyOrg, auth.KeyRequest{Name: "by the server's user"})
		return err
	})
	log := &logOf{}
	t.Cleanup(func() {
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "code: 497") {
				t.Errorf("the server lacks a right: %s", line)
			}
		}
	})
	base, stop := startServe(t, s, log)
	from.base = base
	from.found(keyOrg, "apiKey", "1202")
	for _, act := range []struct {
		method, path, body string
		status             int
	}{
		{"DELETE", "/api/v1/audiences/others", "", 204},
		{"PUT", "/api/v1/audiences/customers/leads", `{"leads":[{"phoneE164":"+15551234567"}]}`, 200},
		{"PUT", "/api/v1/settings/retention", `{"days":1,"eventTypes":[]}`, 200},
		{"GET", "/readyz", "", 200},
		{"POST", "/api/v1/sql", `{"query":"SELECT count() FROM events"}`, 200},
	} {
		if a := from.sendAgain(act.method, act.path, []byte(act.body), sending{}); a.status != act.status {
			t.Errorf("%s %s: %d %s", act.method, act.path, a.status, a.body)
		}
	}
	// An erasure, and a sweep of what has expired; from the disk both are taken below.
	path := "/api/v1/leads/12025550101"
	if shown := from.erasure("DELETE", path, 200); shown.Erased[journal.Events] == 0 || shown.Erased[journal.SendRows] == 0 {
		t.Errorf("%+v", shown)
	}
	eventually(t, "the erasure is verified", func() bool { return from.erasure("GET", path+"/erasure", 200).Verified })
	stop()
	err = KeepEvents(t.Context(), s, quiet(), keyOrg, func(k *retention.Keeper) error {
		removed, err := k.Sweep(t.Context())
		if removed == 0 {
			t.Error("nothing had expired")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if broken := brokenOf(Check(t.Context(), s)); len(broken) > 0 {
		t.Errorf("check: %+v", broken)
	}

	// What a server does now and then.
	db, err := openClickHouse(s, dialers{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	audiences, err := db.SweepAudiences(t.Context(), 0, 0)
	if err != nil || audiences.Layers == 0 {
		t.Errorf("sweep audiences: %+v, %v", audiences, err)
	}
	if _, err := db.SweepSends(t.Context(), 0); err != nil {
		t.Errorf("sweep sends: %v", err)
	}
	if err := db.Conn().Exec(t.Context(), "OPTIMIZE TABLE lead_states FINAL"); err != nil {
		t.Errorf("merge states: %v", err)
	}
	if _, err := db.MergeStates(t.Context()); err != nil {
		t.Errorf("merge states: %v", err)
	}
	if err := db.Purge(t.Context()); err != nil {
		t.Errorf("write parts anew: %v", err)
	}
	conn := connectAs(t, e.Native, "leadevents_server", "pw-4b7e19c2d0f3")
	if err := conn.Exec(t.Context(), "KILL QUERY WHERE query_id = 'one of ours' SYNC FORMAT Null"); err != nil {
		t.Errorf("end a query: %v", err)
	}
	for _, statement := range []string{
		"ALTER TABLE audit_log DELETE WHERE 1", "DELETE FROM audit_log WHERE 1", "ALTER TABLE audit_log UPDATE detail = '' WHERE 1",
		"TRUNCATE TABLE audit_log", "DROP TABLE audit_log", "ALTER TABLE audit_log DROP PARTITION tuple()", "ALTER TABLE audit_log MODIFY TTL at + INTERVAL 1 SECOND",
		"RENAME TABLE audit_log TO gone", "CREATE OR REPLACE TABLE audit_log (x UInt8) ENGINE = Memory", "EXCHANGE TABLES audit_log AND sends", "OPTIMIZE TABLE audit_log FINAL",
	} {
		if err := conn.Exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "code: 497") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func connectAs(t *testing.T, address, user, password string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{address}, Auth: clickhouse.Auth{Database: "leadevents", Username: user, Password: password}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
