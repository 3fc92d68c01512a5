package analyst

import (
	"strings"
	"testing"
	"time"
)

func TestNamesAndPasswords(t *testing.T) {
	a, b := Own("leadevents", "pw", 42), Own("leadevents", "pw", 43)
	if a.User != "leadevents_q_42" || a.Database != a.User {
		t.Errorf("got %+v", a)
	}
	if a.Password == b.Password || a.Password == Own("leadevents", "other", 42).Password || a != Own("leadevents", "pw", 42) {
		t.Error("a password is not the one of its user and its server alone")
	}
	if p := Pooled("pw", 7); p.User != "leadevents_analyst_007" || p.Password == Pooled("pw", 8).Password {
		t.Errorf("got %+v", p)
	}
	if x, y := Outside("leadevents", 42), Outside("leadevents", 42); x.User != "leadevents_q_42_bi" || x.Password == y.Password || len(x.Password) < 26 {
		t.Errorf("got %+v and %+v", x, y)
	}
}

// The statements are what a ClickHouse is told; engine_test.go has the engine read them.
func TestStatementsStand(t *testing.T) {
	l := Limits{Timeout: 30 * time.Second, Threads: 2}
	a := Account{User: "le_q_42", Password: "x", Database: "le_q_42"}
	made := MakeUser(a, l)
	if len(made) != 3 || made[2] != "GRANT SELECT ON `le_q_42`.* TO `le_q_42`" {
		t.Fatalf("got %q", made)
	}
	is := "`le_q_42` IDENTIFIED WITH sha256_hash BY '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881' DEFAULT ROLE NONE DEFAULT DATABASE `le_q_42` SETTINGS readonly = '1', allow_ddl = '0', "
	for i, begin := range []string{"CREATE USER IF NOT EXISTS " + is, "ALTER USER " + is} {
		if !strings.HasPrefix(made[i], begin) || !strings.Contains(made[i], ", max_execution_time = '31', ") || !strings.Contains(made[i], ", max_memory_usage = '1073741824', ") || strings.Contains(made[i], "CONST") {
			t.Errorf("got %s", made[i])
		}
	}
	a.outside = true
	made = MakeUser(a, l)
	for _, want := range []string{" SETTINGS readonly = '2' CONST, ", ", max_execution_time = '31' MIN '1' MAX '31', ", ", max_memory_usage = '1073741824' CONST, "} {
		if !strings.Contains(made[0], want) {
			t.Errorf("%s\nlacks %s", made[0], want)
		}
	}
	if n := strings.Count(made[0], "CONST"); n != len(l.Settings())-1 {
		t.Errorf("%d of %d settings are fixed", n, len(l.Settings()))
	}
	want := "CREATE OR REPLACE VIEW `le_q_42`.events DEFINER = CURRENT_USER SQL SECURITY DEFINER AS\n" +
		"SELECT event_type, phone, occurred_at, metadata, ingested_at, batch_id\nFROM `le`.lead_events FINAL\nPREWHERE organization_id = 42\nSETTINGS use_skip_indexes_if_final = 0\nCOMMENT 'leadevents 2: le/42'"
	if got := View("le", a, 42, true); got != want {
		t.Errorf("got %s", got)
	}
}

func TestANameThatIsNoneIsABug(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a name with a backquote got into a statement")
		}
	}()
	_ = Database(Account{Database: "a`; DROP DATABASE b"})
}
