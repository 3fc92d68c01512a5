package clickhouse

import (
	"strings"
	"testing"

	"leadevents/clickhouse/analyst"
	"leadevents/internal/storetest"
)

// A ClickHouse with users of its own is told these; the engine of the tests makes none,
// but reads them as that server would.
func TestTheEngineReadsTheStatementsOfUsers(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	account := analyst.Own("leadevents", "pw", 42)
	statements := append(analyst.MakeUser(account, analyst.Limits{}), analyst.MakeUser(analyst.Outside("leadevents", 42), analyst.Limits{})...)
	statements = append(statements, analyst.View("leadevents", account, 42, true), analyst.Database(account), analyst.DropUser(account))
	for _, statement := range statements {
		var formatted string
		if err := db.conn.QueryRow(t.Context(), "SELECT formatQuerySingleLine($1)", statement).Scan(&formatted); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
		if strings.HasPrefix(statement, "CREATE USER") && !strings.Contains(formatted, "IDENTIFIED WITH sha256_hash") {
			t.Errorf("%s is read as %s", statement, formatted)
		}
	}
}

// Every setting of a user is one that the engine has: a user with another one could
// not be made.
func TestTheEngineHasTheUsersSettings(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	for _, s := range (analyst.Limits{}).Settings() {
		var n uint64
		if err := db.conn.QueryRow(t.Context(), "SELECT count() FROM system.settings WHERE name = $1", s.Name).Scan(&n); err != nil || n != 1 {
			t.Errorf("%s: %d, %v", s.Name, n, err)
		}
	}
}

func TestExceptionsAreRead(t *testing.T) {
	for text, want := range map[string]analystException{
		"Code: 62. DB::Exception: Syntax error: failed at position 8 (a): a. Expected b. (SYNTAX_ERROR) (version 26.7.2.1)\n":                       {62, "SYNTAX_ERROR", "Syntax error: failed at position 8 (a): a. Expected b."},
		"Code: 395. DB::Exception: x: while executing 'y'. (FUNCTION_THROW_IF) (version 26.7.2.1 (official build))\r\n271 abc\r\n__exception__\r\n": {395, "FUNCTION_THROW_IF", "x: while executing 'y'."},
		"Code: 43. DB::Exception: a\nb (1) c. (ILLEGAL_TYPE_OF_ARGUMENT) (version 1.2)":                                                             {43, "ILLEGAL_TYPE_OF_ARGUMENT", "a\nb (1) c."},
		"something else": {0, "", "something else"},
	} {
		if got := readException(text, ""); *got != want {
			t.Errorf("%q\nis read as %+v", text, *got)
		}
	}
	if got := readException("odd", "60"); got.code != 60 {
		t.Errorf("got %+v", got)
	}
}

func TestMessagesAreCleaned(t *testing.T) {
	a := &Analysts{db: &DB{database: "leadevents", user: "admin"}}
	account := analyst.Account{User: "leadevents_q_42", Database: "leadevents_q_42"}
	for message, want := range map[string]string{
		"Unknown expression identifier `x` in scope SELECT x FROM leadevents_q_42.events. Maybe you meant: ['phone']": "Unknown expression identifier `x`. Maybe you meant: 'phone'",
		"Division by zero: while executing 'FUNCTION intDiv(__table1.a)'":                                             "Division by zero",
		"No column leadevents_q_42.events.x":                                                                          "No column events.x",
		"Cannot read lead_events":                                                                                     "",
		"bad user leadevents_q_42":                                                                                    "",
		strings.Repeat("é", 400):                                                                                      strings.Repeat("é", 250) + "…",
	} {
		got, ok := a.clean(&analystException{code: codeUnknownName, message: message}, account)
		if got != want || ok != (want != "") {
			t.Errorf("%q\nbecomes %q, %t", message, got, ok)
		}
	}
}
