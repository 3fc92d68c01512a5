package app

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"leadevents"
	"leadevents/clickhouse"
)

// batch is a receipt as the API shows it.
type batch struct {
	BatchID, State, EventType, CreatedAt, KeyID, IdempotencyKey string
	FinishedAt                                                  *string
	BodyHash                                                    string `json:"bodySha256"`
	Received, Inserted, Duplicates, Rejected                    int
	Error                                                       struct{ Code, Message string }
}

func (s *sender) get(path string, query url.Values, credential string, into any) answered {
	s.t.Helper()
	a := s.send(http.MethodGet, path, nil, sending{Query: query.Encode(), Credential: credential})
	if into != nil {
		if err := json.Unmarshal(a.body, into); err != nil {
			s.t.Fatalf("%s: %d %.300s: %v", path, a.status, a.body, err)
		}
	}
	return a
}

// page is one page of the list.
type page struct {
	Batches    []batch
	NextCursor *string
	Error      struct{ Code, Message string }
}

func (s *sender) list(query url.Values) page {
	s.t.Helper()
	var p page
	if a := s.get("/api/v1/batches", query, "", &p); a.status != http.StatusOK {
		s.t.Fatalf("%v: %d %s", query, a.status, a.body)
	}
	return p
}

func TestABatchTellsWhatItsCallCameTo(t *testing.T) {
	from, _ := served(t)
	body := callBody("told", rowOf(`"+15551234567"`, `"2026-05-12T18:34:00Z"`, `{}`), rowOf(`"+15551234567"`, `"2026-05-12T18:34:00Z"`, `{}`), `7`)
	before := time.Now().Add(-time.Second)
	_, r := from.ingest(body, sending{Headers: map[string]string{"Idempotency-Key": "k 1"}})
	var b batch
	if a := from.get("/api/v1/batches/"+r.BatchID, nil, "", &b); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	sum := sha256.Sum256(body)
	if b.BatchID != r.BatchID || b.State != "done" || b.EventType != "told" || b.Received != 3 || b.Inserted != 1 || b.Duplicates != 1 || b.Rejected != 1 ||
		b.IdempotencyKey != "k 1" || b.BodyHash != hex.EncodeToString(sum[:16]) || b.KeyID == "" || b.FinishedAt == nil {
		t.Errorf("%+v", b)
	}
	created, err := time.Parse(leadevents.TimeFormat, b.CreatedAt)
	if err != nil || created.Before(before) || created.After(time.Now()) {
		t.Errorf("created at %s (%v)", b.CreatedAt, err)
	}
	// Did it land? By whole hash, half of it, or Idempotency-Key; the replay is the same batch.
	from.ingest(body, sending{Headers: map[string]string{"Idempotency-Key": "k 1"}})
	for _, query := range []url.Values{
		{"bodySha256": {hex.EncodeToString(sum[:])}}, {"bodySha256": {strings.ToUpper(hex.EncodeToString(sum[:16]))}}, {"idempotencyKey": {"k 1"}},
		{"eventType": {"told"}, "state": {"done"}, "keyId": {b.KeyID}}, {"from": {b.CreatedAt}}, {"to": {"2099-01-01T00:00:00+02:00"}, "limit": {"1000"}},
	} {
		if p := from.list(query); len(p.Batches) != 1 || p.Batches[0] != b && p.Batches[0].BatchID != b.BatchID || p.NextCursor != nil {
			t.Errorf("%v: %+v", query, p)
		}
	}
	other := sha256.Sum256([]byte("not sent"))
	for _, query := range []url.Values{
		{"bodySha256": {hex.EncodeToString(other[:])}}, {"idempotencyKey": {"k"}}, {"to": {b.CreatedAt}}, {"eventType": {"Told"}}, {"state": {"undone"}}, {"state": {"running"}}, {"keyId": {"x"}},
	} {
		if p := from.list(query); len(p.Batches) != 0 {
			t.Errorf("%v: %+v", query, p)
		}
	}
	from.ingest(body, sending{Query: "dryRun=true"})
	if p := from.list(nil); len(p.Batches) != 1 {
		t.Errorf("a dry run left a batch: %+v", p)
	}
}

// A call that began under an Idempotency-Key and died is running until it is sent
// again; then it is done, under the same id.
func TestAnUnfinishedCallIsRunningUntilItIsSentAgain(t *testing.T) {
	from, s := served(t)
	body := callBody("unfinished", rowOf(`"+15551234567"`, `"2026-05-12T18:34:00Z"`, `{}`))
	sum := sha256.Sum256(body)
	db, err := clickhouse.Open(clickhouse.Config{Addrs: s.ClickHouse.Addrs, Database: s.ClickHouse.Database, User: s.ClickHouse.User, Password: s.ClickHouse.Password.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	record := leadevents.IdempotencyRecord{Batch: leadevents.NewBatchID(), BodyHash: [16]byte(sum[:16]), CreatedAt: leadevents.MillisOf(time.Now())}
	if err := db.SaveIdempotencyKeys(t.Context(), []leadevents.IdempotencyKey{{Org: keyOrg, Key: "cut"}}, []leadevents.IdempotencyRecord{record}); err != nil {
		t.Fatal(err)
	}
	for _, query := range []url.Values{{"idempotencyKey": {"cut"}}, {"idempotencyKey": {"cut"}, "state": {"running"}, "bodySha256": {hex.EncodeToString(sum[:])}}} {
		if p := from.list(query); len(p.Batches) != 1 || p.Batches[0].State != "running" || p.Batches[0].BatchID != record.Batch.String() || p.Batches[0].FinishedAt != nil {
			t.Fatalf("%v: %+v", query, p)
		}
	}
	if p := from.list(url.Values{"idempotencyKey": {"cut"}, "state": {"done"}}); len(p.Batches) != 0 {
		t.Fatalf("%+v", p)
	}
	_, r := from.ingest(body, sending{Headers: map[string]string{"Idempotency-Key": "cut"}})
	if p := from.list(url.Values{"idempotencyKey": {"cut"}}); r.Inserted != 1 || r.BatchID != record.Batch.String() || len(p.Batches) != 1 || p.Batches[0].State != "done" || p.Batches[0].Inserted != 1 {
		t.Fatalf("%+v, %+v", r, p)
	}
}

// Ranges are half-open, also at the beginning of time.
func TestNoBatchIsOlderThan1970(t *testing.T) {
	from, _ := served(t)
	if a, r := from.ingestAgain(callBody("e", rowOf(`"+15551234567"`, `"2026-05-12T18:34:00Z"`, `{}`))); a.status != http.StatusOK || r.Received != 1 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for to, want := range map[string]int{"1970-01-01T00:00:00Z": 0, "1970-01-01T00:00:00.001Z": 0, "2099-01-01T00:00:00Z": 1} {
		if p := from.list(url.Values{"to": {to}}); len(p.Batches) != want {
			t.Errorf("to %s: %d batches, want %d", to, len(p.Batches), want)
		}
	}
}

func TestAllRejectsAreKept(t *testing.T) {
	from, _ := served(t)
	rows := make([]string, 50_000)
	for i := range rows {
		switch i % 4 {
		case 0:
			rows[i] = `{"phoneE164":"12"}`
		case 1:
			rows[i] = fmt.Sprintf(`{"phoneE164":"<é&%d>%s"}`, i, strings.Repeat("é", 70))
		case 2:
			rows[i] = `null`
		default:
			rows[i] = fmt.Sprintf(`{"phoneE164":"+1555%07d"}`, i)
		}
	}
	_, r := from.ingest(callBody("rejects", rows...), sending{})
	if r.Rejected != 50_000 || len(r.Rejects) != 50 {
		t.Fatalf("%d rejected, %d shown", r.Rejected, len(r.Rejects))
	}
	a := from.get("/api/v1/batches/"+r.BatchID+"/rejects", nil, "", nil)
	lines := bytes.Split(bytes.TrimSpace(a.body), []byte("\n"))
	if a.header.Get("Content-Type") != "application/x-ndjson" || len(lines) != 50_001 || string(lines[50_000]) != `{"end":true,"rejects":50000}` {
		t.Fatalf("%d lines, the last %s", len(lines), lines[len(lines)-1])
	}
	want := map[int]string{
		0: `{"index":0,"phoneE164":"12","reason":"invalid phoneE164"}`,
		1: `{"index":1,"phoneE164":"<é&1>` + strings.Repeat("é", 59) + `","reason":"invalid phoneE164"}`,
		2: `{"index":2,"phoneE164":null,"reason":"invalid event"}`, 49_999: `{"index":49999,"phoneE164":"+15550049999","reason":"missing occurredAt"}`,
	}
	for i, line := range want {
		if string(lines[i]) != line {
			t.Errorf("line %d is %s, want %s", i, lines[i], line)
		}
	}
	_, none := from.ingest(callBody("rejects", rowOf(`"+15551234567"`, `"2026-05-12T18:34:00Z"`, `{}`)), sending{})
	if a := from.get("/api/v1/batches/"+none.BatchID+"/rejects", nil, "", nil); string(a.body) != `{"end":true,"rejects":0}`+"\n" {
		t.Errorf("%s", a.body)
	}
}

// Each answer's batch can be read directly after it, with equal counts, whoever
// it shared its group with; pages neither skip nor repeat while new ones arrive.
func TestBatchesAreReadableAtOnceAndPagesAreStable(t *testing.T) {
	from, _ := served(t)
	var (
		clients sync.WaitGroup
		mu      sync.Mutex
		known   = map[string]bool{}
	)
	send := func(client, i int) {
		body := callBody("paged", rowOf(fmt.Sprintf(`"+1555%03d%04d"`, client, i), `"2026-05-12T18:34:00Z"`, `{}`), rowOf(`"+15550000000"`, `"2026-05-12T18:34:00Z"`, `{}`))
		_, r := from.ingest(body, sending{})
		var b batch
		from.get("/api/v1/batches/"+r.BatchID, nil, "", &b)
		if b.BatchID != r.BatchID || b.Inserted != r.Inserted || b.Duplicates != r.Duplicates || b.State != "done" {
			t.Errorf("answered %+v, the batch is %+v", r, b)
		}
		mu.Lock()
		known[r.BatchID] = true
		mu.Unlock()
	}
	for client := range 16 {
		clients.Go(func() {
			for i := range 10 {
				send(client+1, i)
			}
		})
	}
	clients.Wait()
	stop := make(chan struct{})
	clients.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				send(100, i)
			}
		}
	})
	mu.Lock()
	wanted := len(known)
	before := map[string]bool{}
	for id := range known {
		before[id] = true
	}
	mu.Unlock()
	seen := map[string]bool{}
	last := ""
	query := url.Values{"limit": {"7"}}
	for {
		p := from.list(query)
		for _, b := range p.Batches {
			if seen[b.BatchID] {
				t.Fatalf("batch %s is shown twice", b.BatchID)
			}
			if seen[b.BatchID] = true; last != "" && b.CreatedAt > last {
				t.Fatalf("%s after %s", b.CreatedAt, last)
			}
			last = b.CreatedAt
		}
		if p.NextCursor == nil {
			break
		}
		query.Set("cursor", *p.NextCursor)
	}
	close(stop)
	clients.Wait()
	for id := range before {
		if !seen[id] {
			t.Errorf("batch %s was skipped", id)
		}
	}
	if wanted != 160 {
		t.Errorf("%d batches", wanted)
	}
}

func TestBatchesOfOthersAndBadQuestions(t *testing.T) {
	from, _ := served(t)
	row := rowOf(`"+15551234567"`, `"2026-05-12T18:34:00Z"`, `{}`)
	for range 3 {
		from.ingest(callBody("mine", row), sending{})
	}
	_, mine := from.ingest(callBody("mine", row, `7`), sending{Headers: map[string]string{"Idempotency-Key": "mine"}})
	cursor := from.list(url.Values{"limit": {"1"}}).NextCursor
	if cursor == nil {
		t.Fatal("no cursor")
	}
	var others page
	if a := from.get("/api/v1/batches", url.Values{"idempotencyKey": {"mine"}}, "other", &others); a.status != 200 || len(others.Batches) != 0 {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, tc := range []struct {
		path, query, credential, code, says string
		status                              int
	}{
		{"/api/v1/batches/" + mine.BatchID, "", "other", "not_found", "no batch", 404},
		{"/api/v1/batches/" + mine.BatchID + "/rejects", "", "other", "not_found", "no batch", 404},
		{"/api/v1/batches", "cursor=" + *cursor, "other", "invalid_request", "cursor", 400},
		{"/api/v1/batches/1", "", "", "not_found", "no batch", 404},
		{"/api/v1/batches/x%2Fy", "", "", "not_found", "no batch", 404},
		{"/api/v1/batches/-1/rejects", "", "", "not_found", "no batch", 404},
		{"/api/v1/batches/9223372036854775808", "", "", "not_found", "no batch", 404},
		{"/api/v1/batches/" + mine.BatchID, "x=1", "", "invalid_request", `"x" is unknown`, 400},
		{"/api/v1/batches", "Limit=1", "", "invalid_request", `"Limit" is unknown`, 400},
		{"/api/v1/batches", "limit=0", "", "invalid_request", "limit must be 1 to 1000", 400},
		{"/api/v1/batches", "limit=1001", "", "invalid_request", "limit must be 1 to 1000", 400},
		{"/api/v1/batches", "limit=ten", "", "invalid_request", "limit must be 1 to 1000", 400},
		{"/api/v1/batches", "limit=1&limit=2", "", "invalid_request", "limit stands there twice", 400},
		{"/api/v1/batches", "from=2026-01-01", "", "invalid_request", "from must be a time", 400},
		{"/api/v1/batches", "to=2100-01-01T00:00:00Z", "", "invalid_request", "to must be a time", 400},
		{"/api/v1/batches", "state=Done", "", "invalid_request", "state must be", 400},
		{"/api/v1/batches", "eventType=", "", "invalid_request", "eventType is empty", 400},
		{"/api/v1/batches", "bodySha256=12", "", "invalid_request", "bodySha256 must be", 400},
		{"/api/v1/batches", "cursor=AAAA", "", "invalid_request", "cursor", 400},
		{"/api/v1/batches", "", "none", "unauthenticated", "", 401},
		{"/api/v1/batches", "", "revoked", "unauthenticated", "", 401},
		{"/api/v1/batches/" + mine.BatchID, "", "hmac", "unauthenticated", "", 401},
		{"/api/v1/batches", "", "ingestOnly", "forbidden", "query", 403},
	} {
		a := from.send(http.MethodGet, tc.path, nil, sending{Query: tc.query, Credential: tc.credential})
		var b batch
		if err := json.Unmarshal(a.body, &b); err != nil || a.status != tc.status || b.Error.Code != tc.code || !strings.Contains(b.Error.Message, tc.says) {
			t.Errorf("%s?%s as %q: %d %s; want %d %s %q", tc.path, tc.query, tc.credential, a.status, a.body, tc.status, tc.code, tc.says)
		}
	}
}
