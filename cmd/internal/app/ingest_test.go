package app

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"leadevents/clickhouse"
	"leadevents/configs"
)

const ingestPath = "/api/v1/webhooks/lead-events"

// result is an answer of ingest, an error among them.
type result struct {
	Status                                   string
	Received, Inserted, Duplicates, Rejected int
	Rejects                                  []struct {
		Index  int
		Phone  *string `json:"phoneE164"`
		Reason string
	}
	BatchID string
	Error   struct{ Code, Message string }
}

// served is a server on stores of the test's own, and a sender with every
// credential.
func served(t *testing.T) (*sender, configs.Settings) {
	t.Helper()
	s, from := storeSettings(t), newSender(t)
	prove(t, &s, from)
	base, stop := startServe(t, s, &logOf{})
	t.Cleanup(stop)
	from.base = base
	return from, s
}

func (s *sender) ingest(body []byte, x sending) (answered, result) {
	s.t.Helper()
	a := s.send(http.MethodPost, ingestPath, body, x)
	var r result
	if err := json.Unmarshal(a.body, &r); err != nil {
		s.t.Fatalf("%d %.200s: %v", a.status, a.body, err)
	}
	if a.status == http.StatusOK && r.Received != r.Inserted+r.Duplicates+r.Rejected {
		s.t.Errorf("received %d = %d + %d + %d does not hold", r.Received, r.Inserted, r.Duplicates, r.Rejected)
	}
	return a, r
}

// keysIn counts the distinct keys stored.
func keysIn(t *testing.T, s configs.Settings, eventType string) int {
	t.Helper()
	db, err := clickhouse.Open(clickhouse.Config{
		Addrs: s.ClickHouse.Addrs, Database: s.ClickHouse.Database, User: s.ClickHouse.User, Password: s.ClickHouse.Password.Reveal(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var n uint64
	if err := db.Conn().QueryRow(t.Context(), `SELECT uniqExact(organization_id, phone, occurred_at) FROM lead_events WHERE event_type = ?`, eventType).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return int(n)
}

func callBody(eventType string, rows ...string) []byte {
	name, _ := json.Marshal(eventType)
	return fmt.Appendf(nil, `{"organizationId":42,"eventType":%s,"events":[%s]}`, name, strings.Join(rows, ","))
}

func rowOf(phone, occurredAt, metadata string) string {
	return fmt.Sprintf(`{"phoneE164":%s,"occurredAt":%s,"metadata":%s}`, phone, occurredAt, metadata)
}

// Every line of the reject table through HTTP: at the limit, just below and just
// above. The bad row is between two good ones, which it does not harm.
func TestRowsAreRejectedAlone(t *testing.T) {
	from, s := served(t)
	const phone, at = `"+15551234567"`, `"2026-05-12T18:34:00Z"`
	nested := func(depth int) string {
		return strings.Repeat(`{"a":`, depth-1) + "{}" + strings.Repeat("}", depth-1)
	}
	sized := func(n int) string { return `{"a":"` + strings.Repeat("x", n-8) + `"}` }
	for i, tc := range []struct{ name, row, reason string }{
		{"a number", `7`, "invalid event"},
		{"null", `null`, "invalid event"},
		{"an array", `[]`, "invalid event"},
		{"no phone", `{"occurredAt":` + at + `}`, "invalid phoneE164"},
		{"a number as phone", rowOf(`15551234567`, at, `null`), "invalid phoneE164"},
		{"a phone of letters", rowOf(`"call me"`, at, `null`), "invalid phoneE164"},
		{"too short a phone", rowOf(`"+1555123456"`, at, `null`), "invalid phoneE164"},
		{"too long a phone", rowOf(`"+155512345678"`, at, `null`), "invalid phoneE164"},
		{"possible, though not valid", rowOf(phone, at, `null`), ""},
		{"00 for +", rowOf(`" 0044 20 7946 0000 "`, at, `null`), ""},
		{"no plus", rowOf(`"442079460000"`, at, `null`), ""},
		{"no time", `{"phoneE164":` + phone + `}`, "missing occurredAt"},
		{"an empty time", rowOf(phone, `""`, `null`), "missing occurredAt"},
		{"a null time", rowOf(phone, `null`, `null`), "missing occurredAt"},
		{"a number as time", rowOf(phone, `1778610840`, `null`), "invalid occurredAt"},
		{"no offset", rowOf(phone, `"2026-05-12T18:34:00"`, `null`), "invalid occurredAt"},
		{"second 60", rowOf(phone, `"2016-12-31T23:59:60Z"`, `null`), "invalid occurredAt"},
		{"a leap day", rowOf(phone, `"2024-02-29T00:00:00Z"`, `null`), ""},
		{"no leap day", rowOf(phone, `"2023-02-29T00:00:00Z"`, `null`), "invalid occurredAt"},
		{"year 0", rowOf(phone, `"0000-01-01T00:00:00Z"`, `null`), "invalid occurredAt"},
		{"the last of 1969", rowOf(phone, `"1969-12-31T23:59:59.999Z"`, `null`), "invalid occurredAt"},
		{"the first of 1970", rowOf(phone, `"1970-01-01T00:00:00Z"`, `null`), ""},
		{"the last of 2099", rowOf(phone, `"2099-12-31T23:59:59.999999999Z"`, `null`), ""},
		{"the first of 2100", rowOf(phone, `"2100-01-01T00:00:00Z"`, `null`), "invalid occurredAt"},
		{"2100 by its offset", rowOf(phone, `"2099-12-31T23:59:59-01:00"`, `null`), "invalid occurredAt"},
		{"year 9999", rowOf(phone, `"9999-12-31T23:59:59Z"`, `null`), "invalid occurredAt"},
		{"metadata is null", rowOf(phone, `"2026-01-01T00:00:00Z"`, `null`), ""},
		{"metadata is a string", rowOf(phone, at, `"x"`), "invalid metadata"},
		{"metadata is an array", rowOf(phone, at, `[]`), "invalid metadata"},
		{"metadata of 64 levels", rowOf(phone, `"2026-01-02T00:00:00Z"`, nested(64)), ""},
		{"metadata of 65 levels", rowOf(phone, at, nested(65)), "invalid metadata"},
		{"metadata of 8,191 bytes", rowOf(phone, `"2026-01-03T00:00:00Z"`, sized(8191)), ""},
		{"metadata of 8,192 bytes", rowOf(phone, `"2026-01-04T00:00:00Z"`, sized(8192)), ""},
		{"metadata of 8,192 bytes and white space", rowOf(phone, `"2026-01-05T00:00:00Z"`, " { \"a\" : "+sized(8192)[5:]), ""},
		{"metadata of 8,193 bytes", rowOf(phone, at, sized(8193)), "metadata too large"},
		{"the first reason counts", rowOf(`7`, `null`, `7`), "invalid phoneE164"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eventType := fmt.Sprintf("reject %d", i)
			good := rowOf(`"+4915112345678"`, at, `{}`)
			other := rowOf(`"+4915112345679"`, at, `{}`)
			a, r := from.ingest(callBody(eventType, good, tc.row, other), sending{})
			inserted := 3
			if tc.reason != "" {
				inserted = 2
			}
			if a.status != http.StatusOK || r.Inserted != inserted || r.Rejected != 3-inserted {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if tc.reason != "" && (len(r.Rejects) != 1 || r.Rejects[0].Index != 1 || r.Rejects[0].Reason != tc.reason) {
				t.Fatalf("rejects %+v", r.Rejects)
			}
			if got := keysIn(t, s, eventType); got != inserted {
				t.Fatalf("%d keys stored, want %d", got, inserted)
			}
		})
	}
}

func TestTwoSpellingsOfOnePhoneAreOneKey(t *testing.T) {
	from, s := served(t)
	const at = `"2026-05-12T18:34:00Z"`
	_, r := from.ingest(callBody("spelling",
		rowOf(`"+1 (555) 123-4567"`, at, `{"first":true}`), rowOf(`"0015551234567"`, at, `{}`), rowOf(`"+15551234567"`, `"2026-05-12T20:34:00.0009+02:00"`, `{}`),
	), sending{})
	if r.Inserted != 1 || r.Duplicates != 2 || keysIn(t, s, "spelling") != 1 {
		t.Fatalf("%+v", r)
	}
}

// Limits of the request and broken bodies: nothing of such a call is stored.
func TestCallsAreRefusedWhole(t *testing.T) {
	from, s := served(t)
	const at = `"2026-05-12T18:34:00Z"`
	row := rowOf(`"+15551234567"`, at, `{}`)
	many := func(n int) []byte {
		rows := make([]string, n)
		for i := range rows {
			rows[i] = rowOf(fmt.Sprintf(`"+1555%07d"`, i), at, `null`)
		}
		return callBody("many", rows...)
	}
	replaced := func(old, new string) []byte {
		return bytes.Replace(callBody("refused", row), []byte(old), []byte(new), 1)
	}
	for _, tc := range []struct {
		name   string
		body   []byte
		x      sending
		status int
		code   string
		says   string
	}{
		{name: "no events", body: callBody("refused"), status: 400, code: "invalid_request", says: "events has 0 elements; it must have 1 to 50000"},
		{name: "50,001 events", body: many(50_001), status: 400, code: "invalid_request", says: "events has 50001 elements; it must have 1 to 50000"},
		{name: "events is an object", body: replaced("["+row+"]", "{}"), status: 400, code: "invalid_request", says: "events must be an array of 1 to 50000 events"},
		{name: "no events field", body: []byte(`{"organizationId":42,"eventType":"a"}`), status: 400, code: "invalid_request", says: "events is missing; it must be an array of 1 to 50000 events"},
		{name: "eventType empty", body: callBody("", row), status: 400, code: "invalid_request", says: "eventType has 0 characters; it must have 1 to 128"},
		{name: "eventType of 129 characters", body: callBody(strings.Repeat("😀", 129), row), status: 400, code: "invalid_request", says: "eventType has 129 characters; it must have 1 to 128"},
		{name: "eventType is a number", body: replaced(`"refused"`, `7`), status: 400, code: "invalid_request", says: "eventType must be a string of 1 to 128 characters"},
		{name: "no eventType", body: replaced(`"eventType":"refused",`, ``), status: 400, code: "invalid_request", says: "eventType is missing; it must be a string of 1 to 128 characters"},
		{name: "organizationId 0", body: replaced(`42`, `0`), status: 400, code: "invalid_request", says: "organizationId must be a positive integer, at most 9223372036854775807, written as a JSON number without fraction or exponent"},
		{name: "organizationId -42", body: replaced(`42`, `-42`), status: 400, code: "invalid_request", says: "organizationId must be a positive integer, at most 9223372036854775807, written as a JSON number without fraction or exponent"},
		{name: "organizationId a string", body: replaced(`42`, `"42"`), status: 400, code: "invalid_request", says: "organizationId must be a positive integer, at most 9223372036854775807, written as a JSON number without fraction or exponent"},
		{name: "organizationId 4.2e1", body: replaced(`42`, `4.2e1`), status: 400, code: "invalid_request", says: "organizationId must be a positive integer, at most 9223372036854775807, written as a JSON number without fraction or exponent"},
		{name: "no organizationId", body: replaced(`"organizationId":42,`, ``), status: 400, code: "invalid_request", says: "organizationId is missing; it must be a positive integer"},
		{name: "an array", body: []byte(`[` + row + `]`), status: 400, code: "invalid_request", says: "the body must be a JSON object with organizationId, eventType and events"},
		{name: "a body of one string", body: []byte(`"` + strings.Repeat("x", 10<<20-2) + `"`), status: 400, code: "invalid_request", says: "the body must be a JSON object with organizationId, eventType and events"},
		{name: "truncated", body: callBody("refused", row)[:60], status: 400, code: "invalid_json", says: "the body is not valid JSON: it ends inside a string, at byte 60"},
		{name: "an empty body", status: 400, code: "invalid_json", says: "the body is not valid JSON: it ends where a value was expected, at byte 0"},
		{name: "two bodies", body: append(callBody("refused", row), callBody("refused", row)...), status: 400, code: "invalid_json", says: "the body is not valid JSON: nothing but white space may follow the value, at byte 133"},
		{name: "a field twice", body: replaced(`{"organ`, `{"eventType":"refused","organ`), status: 400, code: "invalid_json", says: `the body is not valid JSON: the top-level field "eventType" stands there twice, at byte 44`},
		{name: "not UTF-8", body: replaced(`refused`, "ref\xffused"), status: 400, code: "invalid_json", says: "the body is not valid JSON: a string is not UTF-8, at byte 37"},
		{name: "ten million brackets", body: bytes.Repeat([]byte("["), 10_000_000), status: 400, code: "invalid_json", says: "the body is not valid JSON: it is nested too deeply, at byte 10000"},
		{name: "one byte too many", body: append(callBody("refused", row), bytes.Repeat([]byte(" "), 10<<20+1-len(callBody("refused", row)))...), status: 413, code: "body_too_large", says: "the body is 10485761 bytes; the limit is 10485760 bytes"},
		{name: "a gzip bomb", body: gzipped(bytes.Repeat([]byte(" "), 200<<20)), x: sending{Headers: map[string]string{"Content-Encoding": "gzip"}}, status: 413, code: "body_too_large", says: "the body is larger after decompression; the limit is 10485760 bytes"},
		{name: "a zstd bomb", body: zstandard(t, bytes.Repeat([]byte(" "), 200<<20)), x: sending{Headers: map[string]string{"Content-Encoding": "zstd"}}, status: 413, code: "body_too_large", says: "the body is larger after decompression; the limit is 10485760 bytes"},
		{name: "gzip that is none", body: callBody("refused", row), x: sending{Headers: map[string]string{"Content-Encoding": "gzip"}}, status: 400, code: "invalid_json", says: "the body is not valid gzip, though Content-Encoding says so"},
		{name: "gzip cut", body: gzipped(callBody("refused", row))[:40], x: sending{Headers: map[string]string{"Content-Encoding": "gzip"}}, status: 400, code: "invalid_json", says: "the body is not valid gzip, though Content-Encoding says so"},
		{name: "an unknown encoding", body: callBody("refused", row), x: sending{Headers: map[string]string{"Content-Encoding": "br"}}, status: 415, code: "unsupported_media_type", says: "Content-Encoding must be gzip, zstd or identity, one of them and once"},
		{name: "an unknown type", body: callBody("refused", row), x: sending{Headers: map[string]string{"Content-Type": "text/plain"}}, status: 415, code: "unsupported_media_type", says: "Content-Type must be application/json"},
		{name: "dryRun=maybe", body: callBody("refused", row), x: sending{Query: "dryRun=maybe"}, status: 400, code: "invalid_request", says: "the query parameter dryRun must be true or false, once"},
		{name: "an empty Idempotency-Key", body: callBody("refused", row), x: sending{Headers: map[string]string{"Idempotency-Key": ""}}, status: 400, code: "invalid_request", says: "the header Idempotency-Key must be one value of 1 to 200 characters"},
		{name: "an Idempotency-Key of 201 characters", body: callBody("refused", row), x: sending{Headers: map[string]string{"Idempotency-Key": strings.Repeat("é", 201)}}, status: 400, code: "invalid_request", says: "the header Idempotency-Key must be one value of 1 to 200 characters"},
		{name: "no credential", body: callBody("refused", row), x: sending{Credential: "none"}, status: 401, code: "unauthenticated", says: "no credential was sent: Authorization: Bearer with an API key was expected"},
		{name: "a malformed key", body: callBody("refused", row), x: sending{Credential: "malformed"}, status: 401, code: "unauthenticated", says: "the API key is malformed: one that begins with le_ was expected"},
		{name: "a revoked key", body: callBody("refused", row), x: sending{Credential: "revoked"}, status: 401, code: "unauthenticated", says: "the API key is revoked"},
		{name: "only a signature, in api_key mode", body: callBody("refused", row), x: sending{Credential: "hmac"}, status: 401, code: "unauthenticated", says: "the signature does not prove the organization that the body names: it is unknown, or expects an API key instead (Authorization: Bearer), or none of its active signing keys made X-Setter-Signature over the body as sent"},
		{name: "only a key, in hmac mode", body: replaced("42", "43"), x: sending{Credential: "other"}, status: 401, code: "unauthenticated", says: "organization 43 is in hmac mode: its webhooks need a signature (X-Setter-Signature: sha256=…), an API key is not accepted"},
		{name: "a bad signature", body: replaced("42", "43"), x: sending{Credential: "badSignature"}, status: 401, code: "unauthenticated", says: "the signature does not prove the organization that the body names: it is unknown, or expects an API key instead (Authorization: Bearer), or none of its active signing keys made X-Setter-Signature over the body as sent"},
		{name: "a key without the scope", body: callBody("refused", row), x: sending{Credential: "narrow"}, status: 403, code: "forbidden", says: "the API key lacks the scope ingest (it has query)"},
		{name: "another organization", body: replaced("42", "7"), status: 403, code: "organization_mismatch", says: "organizationId is 7, but the credential belongs to organization 42"},
		// The order: 415 and 413, 401, 400, 403.
		{name: "415 before 401", body: callBody("refused", row), x: sending{Credential: "none", Headers: map[string]string{"Content-Type": "text/plain"}}, status: 415, code: "unsupported_media_type", says: "Content-Type must be application/json"},
		{name: "413 before 401", body: bytes.Repeat([]byte(" "), 10<<20+1), x: sending{Credential: "none"}, status: 413, code: "body_too_large", says: "the body is 10485761 bytes; the limit is 10485760 bytes"},
		{name: "401 before 400", body: []byte(`{`), x: sending{Credential: "none"}, status: 401, code: "unauthenticated", says: "no credential was sent: Authorization: Bearer with an API key was expected"},
		{name: "400 before 403", body: []byte(`{"organizationId":7}`), status: 400, code: "invalid_request", says: "eventType is missing; it must be a string of 1 to 128 characters"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, r := from.ingest(tc.body, tc.x)
			if a.status != tc.status || r.Error.Code != tc.code || r.Error.Message != tc.says {
				t.Fatalf("%d %.300s; want %d %s, %q", a.status, a.body, tc.status, tc.code, tc.says)
			}
		})
	}
	for _, eventType := range []string{"refused", "many", ""} {
		if got := keysIn(t, s, eventType); got != 0 {
			t.Errorf("%d keys of %q are stored", got, eventType)
		}
	}

	for _, tc := range []struct {
		name     string
		body     []byte
		x        sending
		inserted int
	}{
		{"50,000 events", many(50_000), sending{}, 50_000},
		{"eventType of 128 emoji", callBody(strings.Repeat("😀", 128), row), sending{}, 1},
		{"events before organizationId", []byte(`{"events":[` + row + `],"eventType":"a","organizationId":42}`), sending{}, 1},
		{"unknown fields", []byte(`{"x":[{}],"events":[{"y":1,` + row[1:] + `],"eventType":"b","organizationId":42}`), sending{}, 1},
		{"exactly 10 MB", append(callBody("c", row), bytes.Repeat([]byte(" "), 10<<20-len(callBody("c", row)))...), sending{}, 1},
		{"gzip", gzipped(callBody("d", row)), sending{Headers: map[string]string{"Content-Encoding": "gzip"}}, 1},
		{"zstd", zstandard(t, callBody("e", row)), sending{Headers: map[string]string{"Content-Encoding": "zstd"}}, 1},
		{"an Idempotency-Key of 200 characters", callBody("f", row), sending{Headers: map[string]string{"Idempotency-Key": strings.Repeat("é", 200)}}, 1},
		{"a signature over the bytes as sent", gzipped(bytes.Replace(callBody("g", row), []byte("42"), []byte("43"), 1)), sending{Credential: "hmac", Headers: map[string]string{"Content-Encoding": "gzip"}}, 1},
		{"a dry run", callBody("h", row), sending{Query: "dryRun=true"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if a, r := from.ingest(tc.body, tc.x); a.status != 200 || r.Inserted != tc.inserted || (r.BatchID == "") != (tc.x.Query != "") {
				t.Fatalf("%d %.300s", a.status, a.body)
			}
		})
	}
	if got := keysIn(t, s, "h"); got != 0 {
		t.Errorf("a dry run stored %d keys", got)
	}
}

func TestOnlyTheFirstFiftyRejectsAreShown(t *testing.T) {
	from, _ := served(t)
	rows := make([]string, 120)
	for i := range rows {
		rows[i] = `"` + strings.Repeat("x", 100) + `"`
		if i > 0 {
			rows[i] = rowOf(`"`+strings.Repeat("é", 100)+`"`, `""`, `{}`)
		}
	}
	_, r := from.ingest(callBody("rejects", rows...), sending{})
	if r.Rejected != 120 || len(r.Rejects) != 50 || r.Rejects[0].Phone != nil || *r.Rejects[49].Phone != strings.Repeat("é", 64) || r.Rejects[49].Index != 49 {
		t.Fatalf("%d rejected, %d shown", r.Rejected, len(r.Rejects))
	}
}

func TestPathsAndMethodsOutsideTheDocumentAreErrorsOfItsForm(t *testing.T) {
	from, _ := served(t)
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{"GET", ingestPath, 405}, {"PUT", ingestPath, 405}, {"POST", "/api/v1/webhooks/lead-event", 404}, {"GET", "/", 404},
	} {
		request := httptest.NewRequest(tc.method, from.base+tc.path, nil)
		request.RequestURI = ""
		request.Header.Set("X-Request-Id", "mine")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Error struct{ Code, Message, RequestID string }
		}
		err = json.NewDecoder(response.Body).Decode(&body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != tc.status || body.Error.Code != "not_found" || body.Error.Message == "" || body.Error.RequestID != "mine" || response.Header.Get("X-Request-Id") != "mine" {
			t.Errorf("%s %s: %d %+v %v", tc.method, tc.path, response.StatusCode, body, err)
		}
	}
}

func gzipped(plain []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(plain)
	_ = w.Close()
	return b.Bytes()
}

func zstandard(t *testing.T, plain []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	return w.EncodeAll(plain, nil)
}
