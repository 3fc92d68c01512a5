package app

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What proves a call, and what is looked at first, in both auth modes.
func TestCredentialsAreCheckedInTheContractsOrder(t *testing.T) {
	from, s := served(t)
	row := rowOf(`"+15551234567"`, `"2026-05-12T18:34:00Z"`, `{}`)
	byKey := callBody("proved", row)
	bySignature := bytes.Replace(byKey, []byte("42"), []byte("43"), 1)
	without := func(field string) []byte { return bytes.Replace(bySignature, []byte(field), nil, 1) }
	signed := func(h map[string]string) sending { return sending{Credential: "hmac", Headers: h} }
	gzip := map[string]string{"Content-Encoding": "gzip"}
	signature := http.Header{}
	from.credentials["hmac"](signature, bySignature)
	for _, tc := range []struct {
		name   string
		body   []byte
		x      sending
		status int
		code   string
		says   string
	}{
		{"a key", byKey, sending{}, 200, "", ""},
		{"a key, and a signature that is nobody's", byKey, sending{Headers: map[string]string{"X-Setter-Signature": "sha256=00"}}, 200, "", ""},
		{"a key, a signature, and a broken body", []byte(`{`), sending{Headers: map[string]string{"X-Setter-Signature": "sha256=00"}}, 400, "invalid_json", "at byte 1"},
		{"a signature", bySignature, signed(nil), 200, "", ""},
		{"a signature, and a key that is none", bySignature, signed(map[string]string{"Authorization": "Bearer nonsense"}), 200, "", ""},
		{"a signature over a compressed body as sent", gzipped(bySignature), signed(gzip), 200, "", ""},
		{"events before organizationId, cut between", []byte(`{"eventType":"proved","events":[` + row + `],`), signed(nil), 401, "unauthenticated", "signature"},
		{"events before organizationId, whole", []byte(`{"eventType":"proved","events":[` + row + `],"organizationId":43}`), signed(nil), 200, "", ""},
		// The organization is looked up first ...
		{"no organization", without(`"organizationId":43,`), signed(nil), 401, "unauthenticated", "signature"},
		{"an unknown organization", bytes.Replace(bySignature, []byte("43"), []byte("44"), 1), signed(nil), 401, "unauthenticated", "signature"},
		{"an organization in mode api_key", byKey, signed(nil), 401, "unauthenticated", "Authorization: Bearer"},
		{"an organization that is a string", bytes.Replace(bySignature, []byte("43"), []byte(`"43"`), 1), signed(nil), 401, "unauthenticated", "signature"},
		{"compressed beyond repair", append(gzipped(bySignature)[:30:30], "garbage"...), signed(gzip), 401, "unauthenticated", "signature"},
		// ... then the signature ...
		{"a bad signature, and nothing else is right either", without(`"eventType":"proved",`), sending{Credential: "badSignature"}, 401, "unauthenticated", "signature"},
		{"a signature over the body decompressed", gzipped(bySignature), sending{Credential: "none", Headers: map[string]string{"Content-Encoding": "gzip", "X-Setter-Signature": signature.Get("X-Setter-Signature")}}, 401, "unauthenticated", "signature"},
		{"a signature without its prefix", bySignature, sending{Credential: "none", Headers: map[string]string{"X-Setter-Signature": strings.Repeat("0", 64)}}, 401, "unauthenticated", "sha256="},
		{"an empty signature", bySignature, sending{Credential: "none", Headers: map[string]string{"X-Setter-Signature": ""}}, 401, "unauthenticated", ""},
		// ... then the rest.
		{"signed, no eventType", without(`"eventType":"proved",`), signed(nil), 400, "invalid_request", "eventType is missing"},
		{"signed, and cut after the organization", bySignature[:24], signed(nil), 400, "invalid_json", "at byte 24"},
		{"signed, a wrong parameter", bySignature, sending{Credential: "hmac", Query: "dryRun=2"}, 400, "invalid_request", "dryRun"},
		{"signed, an unknown encoding", bySignature, signed(map[string]string{"Content-Encoding": "br"}), 415, "unsupported_media_type", "Content-Encoding"},
		{"signed, too large when decompressed", gzipped(bytes.Repeat([]byte(" "), 10<<20+1)), signed(gzip), 413, "body_too_large", "10485760"},
		{"badly signed, too large when decompressed", gzipped(bytes.Repeat([]byte(" "), 10<<20+1)), sending{Credential: "badSignature", Headers: gzip}, 413, "body_too_large", "10485760"},
		// Keys.
		{"a key of another organization", byKey, sending{Credential: "other"}, 401, "unauthenticated", ""}, // it is one of an organization in mode hmac
		{"no Bearer", byKey, sending{Credential: "none", Headers: map[string]string{"Authorization": "Basic eDp5"}}, 401, "unauthenticated", "Bearer"},
		{"a body that is wrong before a scope that is missing", callBody("proved"), sending{Credential: "narrow"}, 400, "invalid_request", "events has 0 elements"},
		{"a parameter that is wrong before a scope that is missing", byKey, sending{Credential: "narrow", Query: "dryRun=2"}, 400, "invalid_request", "dryRun"},
		{"a scope that is missing", byKey, sending{Credential: "narrow"}, 403, "forbidden", "lacks the scope ingest"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, r := from.ingest(tc.body, tc.x)
			if a.status != tc.status || r.Error.Code != tc.code || !strings.Contains(r.Error.Message, tc.says) {
				t.Fatalf("%d %.400s; want %d %s, %q", a.status, a.body, tc.status, tc.code, tc.says)
			}
		})
	}
	// One event in each of the organizations, whatever else was sent.
	if got := keysIn(t, s, "proved"); got != 2 {
		t.Errorf("%d keys are stored, want 2", got)
	}
}

// A client that is turned away is told so under the id it gave, and unknown
// parameters and fields are none of our business.
func TestTheRestOfARequest(t *testing.T) {
	from, s := served(t)
	row := rowOf(`"+15551234567"`, `"2026-05-12T18:34:00Z"`, `{}`)
	for _, tc := range []struct {
		name     string
		x        sending
		inserted int
		status   int
		stored   int
	}{
		{"dryRun=true", sending{Query: "dryRun=true"}, 1, 200, 0},
		{"dryRun=1", sending{Query: "dryRun=1"}, 1, 200, 0},
		{"dryRun=TRUE", sending{Query: "dryRun=TRUE"}, 0, 400, 0},
		{"dryRun=yes", sending{Query: "dryRun=yes"}, 0, 400, 0},
		{"dryRun=false", sending{Query: "dryRun=false"}, 1, 200, 1},
		{"dryRun=0", sending{Query: "dryRun=0"}, 1, 200, 1},
		{"dryRun=", sending{Query: "dryRun="}, 0, 400, 0},
		{"dryRun", sending{Query: "dryRun"}, 0, 400, 0},
		{"dryRun twice", sending{Query: "dryRun=false&dryRun=true"}, 0, 400, 0},
		{"an unknown parameter", sending{Query: "dry_run=true&x"}, 1, 200, 1},
		{"a dry run ignores its Idempotency-Key", sending{Query: "dryRun=true", Headers: map[string]string{"Idempotency-Key": strings.Repeat("x", 300)}}, 1, 200, 0},
		{"an Idempotency-Key of 1 character", sending{Headers: map[string]string{"Idempotency-Key": "1"}}, 1, 200, 1},
		{"a charset", sending{Headers: map[string]string{"Content-Type": "Application/JSON; charset=UTF-8"}}, 1, 200, 1},
		{"no Content-Type", sending{Headers: map[string]string{"Content-Type": ""}}, 1, 200, 1},
		{"identity", sending{Headers: map[string]string{"Content-Encoding": "identity"}}, 1, 200, 1},
		{"two encodings", sending{Headers: map[string]string{"Content-Encoding": "gzip, zstd"}}, 0, 415, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			headers := map[string]string{"X-Request-Id": "mine-7"}
			for name, value := range tc.x.Headers {
				headers[name] = value
			}
			tc.x.Headers = headers
			a, r := from.ingest(callBody(tc.name, row), tc.x)
			if a.status != tc.status || r.Inserted != tc.inserted || a.header.Get("X-Request-Id") != "mine-7" {
				t.Fatalf("%d %.300s, id %q", a.status, a.body, a.header.Get("X-Request-Id"))
			}
			if a.status != http.StatusOK && !bytes.Contains(a.body, []byte(`"requestId":"mine-7"`)) {
				t.Errorf("the error does not have the request's id: %s", a.body)
			}
			if got := keysIn(t, s, tc.name); got != tc.stored {
				t.Errorf("%d keys are stored, want %d", got, tc.stored)
			}
		})
	}
}

// Whoever has no credential that could be right is told so before the server takes
// a body in: ten megabytes for each of many who never send them would be all it has.
func TestASignatureThatCannotBeOneIsRefusedBeforeTheBody(t *testing.T) {
	from, _ := served(t)
	for name, headers := range map[string]string{
		"alone":                       "X-Setter-Signature: x\r\n",
		"beside a key that is nobody": "X-Setter-Signature: x\r\nAuthorization: Bearer le_x\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(from.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil { // http.body_timeout is 2 minutes
			t.Fatal(err)
		}
		_, wrote := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%sContent-Length: 10000000\r\n\r\n{\"organizationId\":", ingestPath, headers)
		response, read := http.ReadResponse(bufio.NewReader(conn), nil)
		if err := errors.Join(wrote, read); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusUnauthorized || !bytes.Contains(body, []byte("sha256=")) {
			t.Errorf("%s: %d %s (%v)", name, response.StatusCode, body, err)
		}
	}
}
