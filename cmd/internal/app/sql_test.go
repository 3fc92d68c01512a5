package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"leadevents/audit"
	"leadevents/clickhouse/analyst"
	"leadevents/configs"
	"leadevents/query"
)

// Each format has the rows, and own rows only.
func TestSQLInEveryFormat(t *testing.T) {
	w := newSQLWorld(t)
	const query = "SELECT event_type, phone, JSONExtractFloat(metadata, 'amountUsd') AS usd FROM events ORDER BY phone"
	for format, want := range map[string]string{
		"ndjson": `{"event_type":"webinar_joined","phone":15551230000,"usd":297}` + "\n" + `{"event_type":"purchase","phone":15551230001,"usd":12.5}` + "\n",
		"csv":    "\"event_type\",\"phone\",\"usd\"\n\"webinar_joined\",15551230000,297\n\"purchase\",15551230001,12.5\n",
	} {
		a := w.sql(42, format, query, nil)
		if a.status != http.StatusOK || string(a.body) != want {
			t.Errorf("%s: %d %s", format, a.status, a.body)
		}
	}
	a := w.sql(42, "json", query, nil)
	var shown struct {
		Meta []struct{ Name, Type string }
		Data []map[string]any
		Rows int
	}
	if err := json.Unmarshal(a.body, &shown); err != nil || shown.Rows != 2 || len(shown.Data) != 2 || shown.Meta[1].Type != "UInt64" || a.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("json: %d %s (%v) %+v", a.status, a.body, err, a.header)
	}
	a = w.sql(42, "parquet", query, nil)
	file, err := parquet.OpenFile(bytes.NewReader(a.body), int64(len(a.body)))
	if err != nil || file.NumRows() != 2 || a.header.Get("Content-Type") != "application/vnd.apache.parquet" {
		t.Errorf("parquet: %v, %+v", err, a.header)
	}
	a = w.sql(42, "arrow", query, nil)
	if !bytes.HasPrefix(a.body, []byte("ARROW1")) || !bytes.HasSuffix(a.body, []byte("ARROW1")) || a.header.Get("Content-Type") != "application/vnd.apache.arrow.file" {
		t.Errorf("arrow: %d bytes, %+v", len(a.body), a.header)
	}
	if a := w.sql(42, "xml", query, nil); a.status != 400 {
		t.Errorf("xml: %d %s", a.status, a.body)
	}
}

// Duplicates beneath are not seen, and a count is of events.
func TestSQLSeesEachEventOnce(t *testing.T) {
	w := newSQLWorld(t)
	w.root("SYSTEM STOP MERGES lead_events")
	for range 3 {
		w.root("INSERT INTO lead_events SELECT * FROM lead_events")
	}
	if rows := w.root("SELECT count() > 3 FROM lead_events"); rows != "1\n" {
		t.Fatalf("the engine has merged the duplicates already: %s", rows)
	}
	if a := w.sql(42, "csv", "SELECT count(), uniqExact(phone), sum(JSONExtractFloat(metadata, 'amountUsd')) FROM events", nil); !strings.HasSuffix(string(a.body), "\n2,2,309.5\n") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestSQLParameters(t *testing.T) {
	w := newSQLWorld(t)
	odd := "it's \\ a \"text\"\twith\nlines \\N é ⏎ {a:UInt8}"
	for _, test := range []struct {
		query  string
		params map[string]any
		want   string
	}{
		{"SELECT {a:String} AS v", map[string]any{"a": odd}, odd},
		{"SELECT {a:Array(String)}[2] AS v", map[string]any{"a": []string{"x", odd}}, odd},
		{"SELECT toString({a:UInt64}) AS v", map[string]any{"a": json.RawMessage("18446744073709551615")}, "18446744073709551615"},
		{"SELECT toString({a:UInt64}) AS v", map[string]any{"a": "18446744073709551615"}, "18446744073709551615"},
		{"SELECT toString({a:Decimal(20,4)}) AS v", map[string]any{"a": json.RawMessage("12345678901234.5678")}, "12345678901234.5678"},
		{"SELECT toString({a:Nullable(UInt8)} IS NULL) AS v", map[string]any{"a": nil}, "1"},
		{"SELECT toString({a:Bool}) AS v", map[string]any{"a": true}, "true"},
		{"SELECT toString({a:DateTime64(3, 'UTC')}) AS v", map[string]any{"a": "2026-05-12 18:34:00.123"}, "2026-05-12 18:34:00.123"},
		{"SELECT toString(arraySum({a:Array(UInt64)})) AS v", map[string]any{"a": []int{1, 2, 3}}, "6"},
		{"SELECT toString(count()) AS v FROM events WHERE phone IN {a:Array(UInt64)}", map[string]any{"a": []int{15551230000, 12025550143}}, "1"},
	} {
		a := w.sql(42, "json", test.query, test.params)
		var shown struct{ Data []struct{ V string } }
		if err := json.Unmarshal(a.body, &shown); err != nil || a.status != 200 || len(shown.Data) != 1 || shown.Data[0].V != test.want {
			t.Errorf("%s %v: %d %s, want %q", test.query, test.params, a.status, a.body, test.want)
		}
	}
}

func TestSQLErrorsNameTheirPlace(t *testing.T) {
	w := newSQLWorld(t)
	for query, want := range map[string]string{
		"SELECT 1\nFROM events\nWHERE AND 1":          "query has a syntax error near 1, at line 3, column 11",
		"SELECT phon FROM events":                     "ClickHouse says: Unknown expression identifier `phon`. Maybe you meant: 'phone' (UNKNOWN_IDENTIFIER)",
		"SELECT phone + 'a' FROM events":              "ClickHouse says: Illegal types UInt64 and String of arguments of function plus (ILLEGAL_TYPE_OF_ARGUMENT)",
		"SELECT * FROM nothing":                       "query reads a table that is not there: the table is events",
		"SELECT intDiv(1, phone - phone) FROM events": "ClickHouse says: Division by zero (ILLEGAL_DIVISION)",
		"SELECT {a:UInt8}":                            "ClickHouse says: Substitution `a` is not set (UNKNOWN_QUERY_PARAMETER)",
	} {
		a := w.sql(42, "json", query, nil)
		code, message := a.said(t)
		if a.status != 400 || code != "invalid_query" || message != want {
			t.Errorf("%s: %d %s %s", query, a.status, code, message)
		}
	}
}

// An answer that fails after its first byte is told from a complete one, and nothing of
// ClickHouse's words is in it.
func TestSQLThatFailsLateIsCutOff(t *testing.T) {
	w := newSQLWorld(t)
	for _, format := range []string{"json", "ndjson", "csv", "parquet", "arrow"} {
		a, err := w.try(t.Context(), 42, "/api/v1/sql?format="+format, sqlBody(t, "SELECT number, intDiv(1, number - 15000000) AS x FROM numbers(16000000)", nil))
		if err == nil || a.status != http.StatusOK || len(a.body) == 0 {
			t.Errorf("%s: %d, %d bytes, %v", format, a.status, len(a.body), err)
		}
		for _, words := range []string{"__exception__", "DB::", "Division by zero"} {
			if bytes.Contains(a.body, []byte(words)) {
				t.Errorf("%s: %q is in the answer", format, words)
			}
		}
	}
	if a := w.sql(42, "csv", "SELECT count() FROM numbers(16000000)", nil); a.status != 200 {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

// running is how many of an account's statements ClickHouse is at.
func (w *sqlWorld) running(account analyst.Account) string {
	return strings.TrimSpace(w.root("SELECT count() FROM system.processes WHERE user = '" + account.User + "' AND query NOT LIKE 'EXPLAIN%'"))
}

// A statement ends within a second of its client, whether it answers already or not.
func TestSQLEndsWithItsClient(t *testing.T) {
	w := newSQLWorld(t)
	account := w.account(42)
	for _, query := range []string{
		"SELECT count() FROM numbers(1900000000) WHERE sipHash64(number) = 1 OR cityHash64(number) = 2",
		"SELECT number, sipHash64(number), cityHash64(number) FROM numbers(15000000) WHERE cityHash64(toString(number)) != 1",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		asking.Go(func() { _, _ = w.try(ctx, 42, "/api/v1/sql?format=ndjson", sqlBody(t, query, nil)) })
		eventually(t, "the statement runs", func() bool { return w.running(account) == "1" })
		cancel()
		gone := time.Now()
		eventually(t, "the statement has ended", func() bool { return w.running(account) == "0" })
		if took := time.Since(gone); took > time.Second {
			t.Errorf("%s went on for %s", query, took)
		}
		asking.Wait()
	}
}

// The time counts to the end of the answer, and one that is read slowly ends too.
func TestSQLHasItsTimeAndNoMore(t *testing.T) {
	w := newSQLWorld(t, func(s *configs.Settings) { s.SQL.Timeout = time.Second })
	account := w.account(42)
	began := time.Now()
	a := w.sql(42, "json", "SELECT count() FROM numbers(1900000000) WHERE sipHash64(toString(number)) = 1 OR sipHash64(number) = 2", nil)
	if code, message := a.said(t); a.status != 422 || code != "query_limit" || !strings.Contains(message, "sql.timeout") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.base+"/api/v1/sql?format=ndjson", strings.NewReader(sqlBody(t, "SELECT number FROM numbers(15000000)", nil)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.keys[42])
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	eventually(t, "a statement whose answer nobody reads has ended", func() bool { return w.running(account) == "0" })
	eventually(t, "its end is in the log", func() bool { return strings.Contains(w.log.String(), "a streamed answer was cut off") })
}

// One statement more than an organization may run at once is a 429, and others are not
// refused for it.
func TestSQLAtOnce(t *testing.T) {
	w := newSQLWorld(t, func(s *configs.Settings) { s.SQL.OrganizationQueries = 2 })
	account := w.account(42)
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() {
			_, _ = w.try(ctx, 42, "/api/v1/sql", sqlBody(t, "SELECT count() FROM numbers(1900000000) WHERE sipHash64(number) = 1", nil))
		})
	}
	eventually(t, "two run", func() bool { return w.running(account) == "2" })
	a := w.answered(42, "SELECT 1")
	if code, message := a.said(t); a.status != http.StatusTooManyRequests || code != "rate_limited" || !strings.Contains(message, "sql.organization_queries") || a.header.Get("Retry-After") != "1" {
		t.Errorf("a third: %d %s %v", a.status, a.body, a.header)
	}
	if a := w.answered(43, "SELECT 1"); a.status != 200 {
		t.Errorf("another organization: %d %s", a.status, a.body)
	}
	cancel()
	asking.Wait()
	eventually(t, "there is room again", func() bool { return w.sql(42, "json", "SELECT 1", nil).status == 200 })
}

// Each statement is in the audit log with what it has read, which the operator alone
// sees: it is counted by the granule, and tells how many rows of others lie there.
func TestSQLIsAudited(t *testing.T) {
	w := newSQLWorld(t)
	w.together()
	if a := w.sql(42, "json", "SELECT count() FROM events", nil); a.status != 200 || strings.Contains(string(a.body), "_read") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	w.sql(42, "csv", "SELECT sum(number) FROM numbers(2000)", nil)
	w.sql(42, "csv", "SELECT version()", nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.base+auditPath+"?action=sql.query", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.keys[42])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var log struct {
		Entries []struct {
			Outcome string
			Detail  map[string]any
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&log); err != nil || len(log.Entries) != 3 {
		t.Fatalf("%d entries, %v", len(log.Entries), err)
	}
	for i, want := range []string{"failed map[format:csv queryBytes:16]", "done map[format:csv queryBytes:37]", "done map[format:json queryBytes:26]"} {
		if got := fmt.Sprint(log.Entries[i].Outcome, " ", log.Entries[i].Detail); got != want {
			t.Errorf("entry %d: %s, want %s", i, got, want)
		}
	}
	err = ReadAudit(t.Context(), w.settings, func(log *query.AuditLog) error {
		found, _, err := log.Entries(t.Context(), 42, audit.Filter{Action: audit.SQLQuery}, "", 10)
		if err != nil {
			return err
		}
		for i, want := range []string{`{"format":"csv","queryBytes":16}`, `{"bytesRead":16000,"format":"csv","queryBytes":37,"rowsRead":2000}`} {
			if string(found[i].Detail) != want {
				t.Errorf("entry %d: %s, want %s", i, found[i].Detail, want)
			}
		}
		if !strings.Contains(string(found[2].Detail), `"rowsRead":3`) { // one of them another organization's
			t.Errorf("got %s", found[2].Detail)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSQLSchema(t *testing.T) {
	w := newSQLWorld(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.base+"/api/v1/sql/schema", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.keys[42])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var schema struct {
		Tables     []struct{ Columns []struct{ Name, Type string } }
		EventTypes []struct {
			EventType string
			Metadata  []struct{ Path, Expression string }
		}
		Functions []string
	}
	if err := json.NewDecoder(response.Body).Decode(&schema); err != nil {
		t.Fatal(err)
	}
	if len(schema.EventTypes) != 2 || len(schema.Functions) < 1000 {
		t.Errorf("%d types, %d functions", len(schema.EventTypes), len(schema.Functions))
	}
	for _, e := range schema.EventTypes {
		for _, m := range e.Metadata {
			if a := w.sql(42, "csv", "SELECT "+m.Expression+" FROM events", nil); a.status != 200 {
				t.Errorf("%s: %d %s", m.Expression, a.status, a.body)
			}
		}
	}
	// The columns are as described.
	a := w.sql(42, "json", "SELECT * FROM events", nil)
	var shown struct{ Meta []struct{ Name, Type string } }
	if err := json.Unmarshal(a.body, &shown); err != nil || fmt.Sprint(shown.Meta) != fmt.Sprint(schema.Tables[0].Columns) {
		t.Errorf("described %v, are %v (%v)", schema.Tables[0].Columns, shown.Meta, err)
	}
}

// A view, or a whole account, that somebody took away is made again.
func TestSQLAccountsAreMadeAgain(t *testing.T) {
	w := newSQLWorld(t)
	account := w.account(42)
	w.root("DROP DATABASE " + account.Database + " SYNC")
	eventually(t, "the view is there again", func() bool { return w.sql(42, "json", "SELECT count() FROM events", nil).status == 200 })
}
