package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"leadevents/configs"
)

// hostileStatement is a line of testdata/hostile.sql.
type hostileStatement struct {
	line   int
	expect string // refused, limited, own; or stopped: refused, or by the time that it takes ClickHouse to parse it
	open   bool   // the first wall alone lets it through
	body   string // JSON
	query  string // of the body; empty where it is no string
}

func hostileStatements(t *testing.T, names *strings.Replacer) []hostileStatement {
	t.Helper()
	page, err := os.ReadFile("testdata/hostile.sql")
	if err != nil {
		t.Fatal(err)
	}
	var all []hostileStatement
	for i, line := range strings.Split(string(page), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		expect, rest, _ := strings.Cut(line, " ")
		h := hostileStatement{line: i + 1, expect: expect}
		rest, h.open = strings.CutPrefix(strings.TrimLeft(rest, " "), "(first wall: open) ")
		rest = names.Replace(rest)
		if strings.HasPrefix(rest, "{") {
			h.body = rest
			var in struct{ Query any }
			if json.Unmarshal([]byte(rest), &in) == nil {
				h.query, _ = in.Query.(string)
			}
		} else {
			h.query = strings.NewReplacer("⏎", "\n", "␀", "\x00").Replace(rest)
			h.body = sqlBody(t, h.query, nil)
		}
		switch expect {
		case "refused", "limited", "stopped", "own":
		default:
			t.Fatalf("hostile.sql:%d: %q is not what can come", h.line, expect)
		}
		all = append(all, h)
	}
	return all
}

// generated are statements too long for a file.
func generated(t *testing.T) []hostileStatement {
	var all []hostileStatement
	add := func(expect, query string) {
		all = append(all, hostileStatement{line: -len(all) - 1, expect: expect, query: query, body: sqlBody(t, query, nil)})
	}
	deep := func(open, middle, end string, n int) string {
		return strings.Repeat(open, n) + middle + strings.Repeat(end, n)
	}
	add("refused", "SELECT '"+strings.Repeat("x", 9<<20)+"'") // nearly 10 MB
	add("refused", "SELECT 1 "+strings.Repeat("/* x */ ", 1<<20))
	add("refused", "SELECT "+deep("(", "1", ")", 50_000))
	add("refused", "SELECT "+deep("[", "1", "]", 1_000))
	add("refused", "SELECT "+deep("abs(", "1", ")", 5_000))
	add("refused", deep("SELECT * FROM (", "SELECT 1", ")", 1_000))
	add("refused", "SELECT "+deep("(SELECT ", "1", ")", 200))
	add("refused", "SELECT "+strings.Repeat("NOT ", 30_000)+"1")
	add("refused", "SELECT "+strings.Repeat("-", 30_000)+"1") // a comment
	add("refused", "SELECT "+strings.Repeat("- ", 30_000)+"1")
	add("refused", "SELECT 1"+strings.Repeat(" + 1", 30_000))
	add("refused", "SELECT 1"+strings.Repeat(" UNION ALL SELECT 1", 6_000))
	add("refused", "SELECT "+strings.Repeat("CASE WHEN 1 THEN ", 5_000)+"1"+strings.Repeat(" END", 5_000))
	add("refused", "SELECT "+strings.Repeat("x -> ", 20_000)+"1")
	add("refused", "SELECT 1"+strings.Repeat("::UInt8", 15_000))
	add("refused", "SELECT a"+strings.Repeat(".1", 30_000))
	add("refused", "SELECT a"+strings.Repeat("[1]", 30_000))
	add("refused", "SELECT "+strings.Repeat("1, ", 40_000)+"1")
	add("own", "SELECT "+deep("(", "1", ")", 90))
	add("own", "SELECT count() FROM events WHERE phone IN ("+strings.Repeat("1, ", 15_000)+"1)")
	var joins strings.Builder
	joins.WriteString("SELECT 1 FROM events AS t0")
	for i := range 300 {
		fmt.Fprintf(&joins, ", events AS t%d", i+1)
	}
	add("limited", joins.String()) // by the time that ClickHouse takes to plan it
	var ctes strings.Builder       // doubles with each step
	ctes.WriteString("WITH a0 AS (SELECT 1 AS x)")
	for i := range 40 {
		fmt.Fprintf(&ctes, ", a%d AS (SELECT x FROM a%d UNION ALL SELECT x FROM a%d)", i+1, i, i)
	}
	add("stopped", ctes.String()+" SELECT count() FROM a40")
	aliases := "SELECT 1 AS b0"
	for i := range 60 {
		aliases += fmt.Sprintf(", (b%d, b%d) AS b%d", i, i, i+1)
	}
	add("stopped", aliases)
	return all
}

// honest asks an honest statement over and over; the function ends that, and fails the
// test for an answer that was wrong or took too long.
func (w *sqlWorld) honest() (end func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var asking sync.WaitGroup
	asked := 0
	asking.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			ask := func() (answered, error) {
				return w.try(w.t.Context(), 43, "/api/v1/sql?format=csv", `{"query":"SELECT event_type, phone FROM events"}`)
			}
			a, err := ask()
			for again := 0; again < 5 && a.status == http.StatusServiceUnavailable; again++ { // as the answer says
				w.t.Logf("an honest statement is asked again: %s; the server's log ends:\n%s", a.body, w.log.tail(2000))
				a, err = ask()
			}
			if want := "\"event_type\",\"phone\"\n\"" + theirEvent + "\"," + theirNumber + "\n"; err != nil || a.status != http.StatusOK || string(a.body) != want {
				w.t.Errorf("an honest statement beside: %d %s (%v)", a.status, a.body, err)
			}
			if took := time.Since(began); took > 20*time.Second {
				w.t.Errorf("an honest statement took %s", took)
			}
			asked++
			time.Sleep(50 * time.Millisecond) // a polite client; twenty a second prove as much as forty
		}
	})
	return func() {
		cancel()
		asking.Wait()
		if asked < 10 {
			w.t.Errorf("only %d honest statements beside", asked)
		}
		w.t.Logf("%d honest statements beside", asked)
	}
}

// leaks says what of others or of the server is in an answer; empty if nothing.
func (w *sqlWorld) leaks(body string) string {
	for _, secret := range []string{theirSecret, theirEvent, theirNumber, w.settings.ClickHouse.Password.Reveal(), hostname(w.t)} {
		if strings.Contains(body, secret) {
			return secret
		}
	}
	return ""
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.ReadFile("/etc/hostname")
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.TrimSpace(string(name)); len(text) > 3 {
		return text
	}
	return "a hostname that is too short to be looked for"
}

// serverNames are functions that tell the name of the machine: the second wall's.
var serverNames = regexp.MustCompile(`(?i)hostname\(\)|fqdn\(\)`)

func (w *sqlWorld) names() *strings.Replacer {
	mine, theirs := w.account(42), w.account(43)
	database := w.settings.ClickHouse.Database
	uuid := strings.TrimSpace(w.root("SELECT uuid FROM system.tables WHERE name = 'lead_events' AND database = '" + database + "'"))
	return strings.NewReplacer("{secret}", database, "{theirs}", theirs.Database, "{mine}", mine.Database, "{uuid}", uuid, "{theirLead}", theirNumber)
}

// Every statement of hostile.sql is refused, stopped by a limit, or shows own rows only;
// the server stays up, and others' statements go on.
func TestHostileStatements(t *testing.T) {
	w := newSQLWorld(t, func(s *configs.Settings) { s.SQL.Timeout = 3 * time.Second })
	w.together()
	pid := w.root("SELECT uptime() >= 0")
	statements := append(hostileStatements(t, w.names()), generated(t)...)
	if len(statements) < 150 {
		t.Fatalf("only %d statements", len(statements))
	}
	end := w.honest()
	for _, h := range statements {
		began := time.Now()
		a, err := w.try(t.Context(), 42, "/api/v1/sql?format=ndjson", h.body)
		for again := 0; again < 5 && a.status == http.StatusServiceUnavailable; again++ { // the one before may still be on its way out
			a, err = w.try(t.Context(), 42, "/api/v1/sql?format=ndjson", h.body)
		}
		name := fmt.Sprintf("hostile.sql:%d: %.200s", h.line, h.query)
		code := ""
		if a.status >= 400 {
			code, _ = a.said(t)
		}
		switch {
		case h.expect == "stopped" && a.status != 400 && a.status != 422,
			h.expect == "refused" && (a.status != 400 || code != "invalid_query" && code != "invalid_request"),
			h.expect == "own" && (err != nil || a.status != 200):
			t.Errorf("%s\n\tis answered %d %.300s (%v), want %s", name, a.status, a.body, err, h.expect)
		case h.expect == "limited" && !(a.status == 422 && code == "query_limit" || a.status == 200 && err != nil): // stopped in the middle
			t.Errorf("%s\n\tis answered %d %.300s (%v), want %s", name, a.status, a.body, err, h.expect)
		}
		if secret := w.leaks(string(a.body)); secret != "" {
			t.Errorf("%s\n\tshows %s: %.300s", name, secret, a.body)
		}
		for _, internal := range []string{w.settings.ClickHouse.Database, "leadevents_analyst_", "DB::", "Stack trace", "26.7", "organization_id = "} {
			if a.status >= 400 && strings.Contains(string(a.body), internal) && !strings.Contains(h.query, internal) {
				t.Errorf("%s\n\tnames %s of the server's: %.400s", name, internal, a.body)
			}
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("%s\n\ttook %s", name, took)
		}
	}
	end()
	if again := w.root("SELECT uptime() >= 0"); again != pid {
		t.Error("the engine has changed")
	}
}

// The first wall alone: the same statements straight to ClickHouse, as the
// organization's user. Nothing of others comes back; what the engine itself lets through
// (functions that read files, on this engine) is marked in the file.
func TestHostileStatementsAtTheFirstWall(t *testing.T) {
	w := newSQLWorld(t)
	account := w.account(42)
	w.together()
	for _, h := range hostileStatements(t, w.names()) {
		if h.query == "" || h.expect == "limited" || strings.Contains(h.query, "sleep") {
			continue
		}
		status, body := w.direct(account, h.query, time.Minute)
		if status == 0 {
			t.Errorf("hostile.sql:%d: %s: %s", h.line, h.query, body)
		}
		for _, secret := range []string{theirSecret, theirEvent, theirNumber, w.settings.ClickHouse.Password.Reveal()} {
			if strings.Contains(body, secret) {
				t.Errorf("hostile.sql:%d: %s\n\tshows %s: %.300s", h.line, h.query, secret, body)
			}
		}
		if read := strings.Contains(body, hostname(t)); read && !h.open && !serverNames.MatchString(h.query) {
			t.Errorf("hostile.sql:%d: %s\n\treads a file: %.300s", h.line, h.query, body)
		}
	}
	if rows := w.root("SELECT count() FROM " + w.settings.ClickHouse.Database + ".lead_events"); rows != "3\n" {
		t.Errorf("there are %s rows, want 3", rows)
	}
}
