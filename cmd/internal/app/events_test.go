package app

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/parquet-go/parquet-go"

	"leadevents"
	"leadevents/clickhouse"
	"leadevents/configs"
)

const anyPhone = "/api/v1/leads/15551234567/events"

// besides is a connection to a server's ClickHouse, to look at it from beside.
func besides(t *testing.T, s configs.Settings) driver.Conn {
	t.Helper()
	cfg, err := clickHouseConfig(s, dialers{})
	if err != nil {
		t.Fatal(err)
	}
	db, err := clickhouse.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db.Conn()
}

// manyStored stores so many events of an organization, of so many types over a year, as
// fast as ClickHouse can make them.
func manyStored(t *testing.T, conn driver.Conn, org leadevents.OrgID, n, types, noise int) {
	t.Helper()
	err := conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO lead_events (organization_id, event_type, phone, occurred_at, metadata, ingested_at, batch_id)
		SELECT %d, concat('type-', toString(number %% %d)), 15550000000 + number %% 100000, toDateTime64('2025-01-01 00:00:00', 3, 'UTC') + number * 10,
			concat('{"a":', toString(number), ',"b":{"c":"', toString(cityHash64(number)), '","n":"', hex(randomString(%d)), '"}}'), now64(3), 7 FROM numbers(%d)`, org, types, noise, n))
	if err != nil {
		t.Fatal(err)
	}
}

// raw sends a request over a connection of its own, and gives that back.
func (s *sender) raw(path, credential string) net.Conn {
	s.t.Helper()
	header := http.Header{}
	s.credentials[credential](header, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n", path, header.Get("Authorization")); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// heavy is a where that nothing meets and that costs a look into every event.
func heavy() string {
	var conditions []string
	for i := range 10 {
		conditions = append(conditions, fmt.Sprintf(`{"path":"b.c","op":"in","value":["x%d","y"]}`, i))
	}
	return "where=" + url.QueryEscape("["+strings.Join(conditions, ",")+"]")
}

// A query has ended at ClickHouse a second after its client has left, whether it waits for
// its answer or reads one.
func TestQueriesEndWithTheirClient(t *testing.T) {
	from, settings := served(t)
	conn := besides(t, settings)
	manyStored(t, conn, keyOrg, 2_000_000, 10, 0)
	running := func() bool {
		var n uint64
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE current_database = currentDatabase() AND query LIKE '%FROM lead_events%' AND query NOT LIKE '%system.processes%'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	for what, path := range map[string]string{
		"a page":               eventsPath + "?" + heavy(),
		"one lead's page":      anyPhone + "?" + heavy(),
		"an export":            eventsPath + "?format=ndjson",
		"an export of nothing": eventsPath + "?format=parquet&" + heavy(),
	} {
		for try := 1; ; try++ {
			client := from.raw(path, "apiKey")
			began := time.Now()
			for !running() && time.Since(began) < 2*time.Second {
				time.Sleep(time.Millisecond) // some are over before one looks
			}
			left := time.Now()
			_ = client.Close()
			eventually(t, what+" has ended", func() bool { return !running() })
			took := time.Since(left)
			if took <= time.Second {
				break
			}
			if try == 3 { // a machine that is busy with other tests may be late twice
				t.Errorf("%s was still there %s after its client", what, took)
				break
			}
		}
	}
}

// An export is whole, or every client can tell that it is not: the connection is cut, and
// no line says that it was all. The audit log says what became of it.
func TestAnExportThatIsBrokenOffIsTold(t *testing.T) {
	own, settings := served(t)
	conn := besides(t, settings)
	// Of one type, and far more than what lies between the store and a client that does not
	// read: a piece of 32 MiB in Parquet, and the sockets. A slow machine would else have
	// sent all before the query is ended.
	const all = 300_000
	manyStored(t, conn, keyOrg, all, 1, 200)
	for _, format := range []string{"ndjson", "csv", "parquet"} {
		n, query := 100_000, "format="+format+"&to=2025-01-12T13:46:40Z" // 10 s each
		if format == "parquet" {
			n, query = all, "format="+format
		}
		whole := own.sendAgain("GET", eventsPath, nil, sending{Query: query})
		switch format {
		case "ndjson":
			if lines := bytes.Count(whole.body, []byte("\n")); lines != n+1 || !bytes.HasSuffix(whole.body, fmt.Appendf(nil, "{\"end\":true,\"events\":%d}\n", n)) {
				t.Errorf("%d lines, the end is %.200s", lines, whole.body[max(0, len(whole.body)-200):])
			}
		case "csv":
			if lines := bytes.Count(whole.body, []byte("\r\n")); lines != n+1 {
				t.Errorf("%d lines", lines)
			}
		default:
			if file, err := parquet.OpenFile(bytes.NewReader(whole.body), int64(len(whole.body))); err != nil || file.NumRows() != int64(n) {
				t.Errorf("%v", err)
			}
		}

		// The store ends the query in the middle of it.
		client := own.raw(eventsPath+"?"+query, "apiKey")
		answer := bufio.NewReader(client)
		response, err := http.ReadResponse(answer, nil)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%v", err)
		}
		if _, err := io.CopyN(io.Discard, response.Body, 64<<10); err != nil {
			t.Fatal(err)
		}
		if err := conn.Exec(t.Context(), "KILL QUERY WHERE current_database = currentDatabase() AND query LIKE '%FROM lead_events WHERE%' ASYNC"); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(response.Body)
		if err == nil || bytes.Contains(rest, []byte(`{"end":true`)) || len(rest) > len(whole.body)-64<<10 {
			t.Errorf("%s: cut off after %d bytes of %d, and its end is %v", format, len(rest), len(whole.body), err)
		}
	}
	eventually(t, "every export has its outcome", func() bool {
		entries, _ := own.auditOf("apiKey", "action=events.export")
		outcomes := map[string]int{}
		for _, e := range entries {
			outcomes[string(e.Outcome)]++
		}
		return outcomes["done"] == 3 && outcomes["failed"] == 3
	})
}

// An export holds a place of its organization's until it is read or its client has gone;
// pages hold none.
func TestExportsOfEventsHoldAPlace(t *testing.T) {
	from, bases := limited(t, patient(t))
	from.base = bases[0]
	for i := range 8 { // 100 MB of answer: more than what lies between server and client
		body := manyEvents(nextOrg, fmt.Sprint("type-", i), 50_000)
		if a := from.sendAgain("POST", ingestPath, body, sending{Credential: "second"}); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	from.limit(nextOrg, `{"concurrentExports":1}`)
	settled(t)
	client := from.raw(eventsPath+"?format=ndjson", "second")
	if _, err := io.ReadFull(client, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	ask := func(path string) answered {
		a, err := from.ask(bases[1], "GET", path, "", "second")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask(eventsPath + "?format=csv"); !a.refusedBy(t, leadevents.ConcurrentExports) {
		t.Errorf("a second export: %d", a.status)
	}
	if a := ask(anyPhone + "?format=csv"); !a.refusedBy(t, leadevents.ConcurrentExports) {
		t.Errorf("a second export, of one lead: %d", a.status)
	}
	if a := ask(eventsPath); a.status != http.StatusOK {
		t.Errorf("a page: %d %.200s", a.status, a.body)
	}
	_ = client.Close()
	eventually(t, "the place is free when the client has gone", func() bool { return ask(eventsPath+"?format=csv&phone=15551234567").status == http.StatusOK })
}

// What is wrong with a question is a 400 that names it.
func TestQuestionsAboutEventsThatAreWrong(t *testing.T) {
	from, _ := served(t)
	for _, c := range []struct{ path, query, want string }{
		{"/api/v1/event-types", "limit=1", "limit"},
		{eventsPath, "limit=0", "limit must be 1 to 10000"},
		{eventsPath, "limit=10001", "limit must be 1 to 10000"},
		{eventsPath, "phone=12", "phone must be a possible phone number"},
		{eventsPath, "eventType=", "eventType is empty"},
		{eventsPath, "eventType=" + strings.Repeat("x", 129), "at most 128"},
		{eventsPath, strings.Repeat("eventType=a&", 101), "eventType is given 101 times; at most 100"},
		{eventsPath, "from=x", "from must be a time"},
		{eventsPath, "to=x", "to must be a time"},
		{eventsPath, "from=2026-05-12T18:34:00Z&from=2026-05-12T18:34:00Z", "from stands there twice"},
		{eventsPath, "where=x", "where is not JSON"},
		{eventsPath, "where=%5B%7B%22path%22:%22a%22%7D%5D", "where[0].op is missing"},
		{eventsPath, "cursor=x", "cursor is not one that this list gave"},
		{eventsPath, "format=xml", "format must be one of csv, ndjson, parquet"},
		{eventsPath, "format=csv&limit=5", "limit is for pages"},
		{eventsPath, "format=csv&cursor=x", "cursor is for pages"},
		{eventsPath, "order=asc", `"order" is unknown here; known are: eventType, from, to, where, format, limit, cursor, phone`},
		{"/api/v1/leads/12/events", "", "the phone in the path must be a possible phone number"},
		{anyPhone, "phone=15551234567", `"phone" is unknown here`},
	} {
		a := from.sendAgain("GET", c.path, nil, sending{Query: c.query})
		if a.status != http.StatusBadRequest || !strings.Contains(strings.ReplaceAll(string(a.body), `\"`, `"`), c.want) {
			t.Errorf("%s?%.60s: %d %s, want %q", c.path, c.query, a.status, a.body, c.want)
		}
	}
}

// An event is in the next answer, everywhere; the phone may be spelled with or without
// its plus.
func TestWhatWasAnsweredIsShown(t *testing.T) {
	from, _ := served(t)
	for i := range 5 {
		at := fmt.Sprintf("2026-05-12T18:34:0%dZ", i)
		body := fmt.Sprintf(`{"organizationId":42,"eventType":"t%d","events":[{"phoneE164":"+15551234567","occurredAt":"%s","metadata":{"n":%d}}]}`, i, at, i)
		for range 2 { // again it is a duplicate
			if a := from.sendAgain("POST", ingestPath, []byte(body), sending{}); a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		event := fmt.Sprintf(`"phoneE164":"+15551234567","eventType":"t%d","occurredAt":"2026-05-12T18:34:0%d.000Z","metadata":{"n":%d}`, i, i, i)
		for _, path := range []string{eventsPath, eventsPath + "?phone=%2B15551234567", eventsPath + "?phone=15551234567", anyPhone, "/api/v1/leads/+15551234567/events", "/api/v1/leads/%2B15551234567/events", eventsPath + "?format=ndjson"} {
			bare, query, _ := strings.Cut(path, "?")
			a := from.sendAgain("GET", bare, nil, sending{Query: query})
			if a.status != http.StatusOK || strings.Count(string(a.body), event) != 1 || strings.Count(string(a.body), "phoneE164") != i+1 {
				t.Errorf("%s after %d events: %d %s", path, i+1, a.status, a.body)
			}
		}
		a := from.sendAgain("GET", "/api/v1/event-types", nil, sending{})
		if !strings.Contains(string(a.body), fmt.Sprintf(`{"eventType":"t%d","events":1,"leads":1,"firstAt":"2026-05-12T18:34:0%d.000Z"`, i, i)) {
			t.Errorf("the catalog after %d events: %s", i+1, a.body)
		}
	}
}
