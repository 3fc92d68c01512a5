package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// uploaded is an answer of an upload, an error among them.
type uploaded struct {
	AudienceID                             string
	Received, Stored, Duplicates, Rejected int
	Rejects                                []struct {
		Index  int
		Phone  *string `json:"phoneE164"`
		Reason string
	}
	Error struct{ Code, Message string }
}

// shownAudience is an audience as the API shows it.
type shownAudience struct {
	AudienceID           string
	Leads                int
	CreatedAt, UpdatedAt string
	Error                struct{ Code, Message string }
}

const (
	csvType    = "text/csv"
	ndjsonType = "application/x-ndjson"
	jsonType   = "application/json"
)

func (s *sender) upload(method, id, mediaType string, body []byte, x sending) (answered, uploaded) {
	s.t.Helper()
	headers := map[string]string{"Content-Type": mediaType}
	for name, value := range x.Headers {
		headers[name] = value
	}
	x.Headers = headers
	a := s.send(method, "/api/v1/audiences/"+id+"/leads", body, x)
	var u uploaded
	if err := json.Unmarshal(a.body, &u); err != nil {
		s.t.Fatalf("%d %.200s: %v", a.status, a.body, err)
	}
	if a.status == http.StatusOK && u.Received != u.Stored+u.Duplicates+u.Rejected {
		s.t.Errorf("received %d = %d + %d + %d does not hold", u.Received, u.Stored, u.Duplicates, u.Rejected)
	}
	return a, u
}

func (s *sender) audience(id, credential string) (int, shownAudience) {
	s.t.Helper()
	var shown shownAudience
	a := s.get("/api/v1/audiences/"+id, nil, credential, &shown)
	return a.status, shown
}

// The same leads in every format and encoding come to the same.
func TestAnAudienceInEveryFormat(t *testing.T) {
	from, _ := served(t)
	bodies := map[string]string{
		csvType: "\uFEFFname,externalId,phone\r\n\"Doe, \"\"Jo\"\"\",a,+15551234567\r\n\r\n,b,+1 (555) 123-4567\r\n,c,12\r\n,,0044 20 7946 0000\r\n",
		ndjsonType: `{"phoneE164":"+15551234567","externalId":"a"}` + "\n\n" + `{"externalId":"b","phoneE164":"+1 (555) 123-4567"}` + "\r\n" +
			`{"phoneE164":"12","externalId":"c"}` + "\n" + `{"phoneE164":"0044 20 7946 0000"}`,
		jsonType: `{"leads":[{"phoneE164":"+15551234567","externalId":"a"},{"externalId":"b","phoneE164":"+1 (555) 123-4567"},{"phoneE164":"12","externalId":"c"},{"phoneE164":"0044 20 7946 0000","externalId":null}]}`,
	}
	for mediaType, text := range bodies {
		for encoding, body := range map[string][]byte{"": []byte(text), "gzip": gzipped([]byte(text)), "zstd": zstandard(t, []byte(text))} {
			t.Run(mediaType+" "+encoding, func(t *testing.T) {
				x := sending{Headers: map[string]string{}}
				if encoding != "" {
					x.Headers["Content-Encoding"] = encoding
				}
				a, u := from.upload(http.MethodPut, "formats", mediaType, body, x)
				if a.status != http.StatusOK || u.AudienceID != "formats" || u.Received != 4 || u.Stored != 2 || u.Duplicates != 1 || u.Rejected != 1 ||
					len(u.Rejects) != 1 || u.Rejects[0].Index != 2 || *u.Rejects[0].Phone != "12" || u.Rejects[0].Reason != "invalid phoneE164" {
					t.Errorf("%d %s", a.status, a.body)
				}
				if status, shown := from.audience("formats", ""); status != http.StatusOK || shown.Leads != 2 {
					t.Errorf("%d %+v", status, shown)
				}
				// Adding what is there adds nothing.
				if a, u := from.upload(http.MethodPost, "formats", mediaType, body, x); a.status != http.StatusOK || u.Stored != 0 || u.Duplicates != 3 || u.Rejected != 1 {
					t.Errorf("added: %d %s", a.status, a.body)
				}
			})
		}
	}
}

// A request without Content-Type is JSON, as everywhere.
func TestAnUploadWithoutContentTypeIsJSON(t *testing.T) {
	from, _ := served(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, from.base+"/api/v1/audiences/plain/leads", strings.NewReader(`{"leads":[{"phoneE164":"+15551234567"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	from.credentials["apiKey"](request.Header, nil)
	request.Header.Set("Expect", "100-continue") // curl does so for large bodies
	response, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(text), `"stored":1`) {
		t.Errorf("%d %s (%v)", response.StatusCode, text, err)
	}
}

func TestUploadsAreRefusedWhole(t *testing.T) {
	from, _ := served(t)
	good := []byte("phone\n+15551234567\n")
	if a, _ := from.upload(http.MethodPut, "mine", csvType, []byte("phone,externalId\n+442079460000,a\n+442079460001,b\n"), sending{}); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	_, before := from.audience("mine", "")
	many := func(n int, tail string) []byte {
		return append(append([]byte("phone,x\n"), bytes.Repeat([]byte("+15551234567,x\n"), n)...), tail...)
	}
	encoded := func(encoding string) sending {
		return sending{Headers: map[string]string{"Content-Encoding": encoding}}
	}
	packed := gzipped(many(5000, ""))
	for _, tc := range []struct {
		name       string
		mediaType  string
		body       []byte
		x          sending
		status     int
		code, says string
	}{
		{name: "a bad row after 250,000 good ones", body: many(250_000, "+15551234567\n"), status: 400, code: "invalid_request", says: "line 250002: the row has 1 fields"},
		{name: "quotes", body: many(1, "\"a\n"), status: 400, code: "invalid_request", says: "line 3: a quoted field does not end"},
		{name: "no column of phones", body: []byte("name\nJo\n"), status: 400, code: "invalid_request", says: "no column phoneE164 or phone"},
		{name: "an empty CSV", status: 400, code: "invalid_request", says: "the CSV is empty"},
		{name: "not UTF-8", body: many(1, "a\xff,b\n"), status: 400, code: "invalid_json", says: "line 3: it is not UTF-8"},
		{name: "NDJSON cut", mediaType: ndjsonType, body: []byte(`{"phoneE164":"+15551234567"}` + "\n{"), status: 400, code: "invalid_json", says: "line 2: the line ends too early"},
		{name: "JSON cut", mediaType: jsonType, body: []byte(`{"leads":[{"phoneE164":"+15551234567"}]`), status: 400, code: "invalid_json", says: "ends too early"},
		{name: "JSON with another field", mediaType: jsonType, body: []byte(`{"leads":[],"mode":"replace"}`), status: 400, code: "invalid_request", says: `the field "mode" is unknown`},
		{name: "JSON as an array", mediaType: jsonType, body: []byte(`[]`), status: 400, code: "invalid_request", says: "must be a JSON object"},
		{name: "an empty JSON", mediaType: jsonType, status: 400, code: "invalid_json", says: "the body is empty"},
		{name: "gzip that is none", body: good, x: encoded("gzip"), status: 400, code: "invalid_request", says: "not valid gzip"},
		{name: "zstd that is none", body: good, x: encoded("zstd"), status: 400, code: "invalid_request", says: "not valid zstd"},
		{name: "gzip cut", body: packed[:len(packed)-9], x: encoded("gzip"), status: 400, code: "invalid_request", says: "not valid gzip"},
		{name: "gzip with a wrong checksum", body: append(bytes.Clone(packed[:len(packed)-8]), "00000000"...), x: encoded("gzip"), status: 400, code: "invalid_request", says: "not valid gzip"},
		{name: "gzip and something behind it", body: append(bytes.Clone(packed), "rubbish"...), x: encoded("gzip"), status: 400, code: "invalid_request", says: "not valid gzip"},
		{name: "an unknown encoding", body: good, x: encoded("br"), status: 415, code: "unsupported_media_type", says: "Content-Encoding must be gzip, zstd or identity"},
		{name: "an unknown type", mediaType: "text/plain", body: good, status: 415, code: "unsupported_media_type", says: "Content-Type must be text/csv, application/x-ndjson or application/json"},
		{name: "another charset", mediaType: "text/csv; charset=latin1", body: good, status: 415, code: "unsupported_media_type", says: "charset"},
		{name: "a parameter", body: good, x: sending{Query: "mode=replace"}, status: 400, code: "invalid_request", says: `"mode" is unknown`},
		{name: "no credential", body: good, x: sending{Credential: "none"}, status: 401, code: "unauthenticated"},
		{name: "a revoked key", body: good, x: sending{Credential: "revoked"}, status: 401, code: "unauthenticated"},
		{name: "a signature", body: good, x: sending{Credential: "hmac"}, status: 401, code: "unauthenticated"},
		{name: "a key without the scope", body: good, x: sending{Credential: "ingestOnly"}, status: 403, code: "forbidden", says: "lacks the scope campaigns (it has ingest)"},
		{name: "415 before 401", mediaType: "text/plain", body: good, x: sending{Credential: "none"}, status: 415, code: "unsupported_media_type"},
		{name: "401 before 400", body: []byte("x"), x: sending{Credential: "none", Query: "a=b"}, status: 401, code: "unauthenticated"},
		{name: "400 before 403", body: good, x: sending{Credential: "ingestOnly", Query: "a=b"}, status: 400, code: "invalid_request"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.mediaType == "" {
				tc.mediaType = csvType
			}
			for _, method := range []string{http.MethodPut, http.MethodPost} {
				a, u := from.upload(method, "mine", tc.mediaType, tc.body, tc.x)
				if a.status != tc.status || u.Error.Code != tc.code || !strings.Contains(u.Error.Message, tc.says) {
					t.Errorf("%s: %d %.300s; want %d %s, %q", method, a.status, a.body, tc.status, tc.code, tc.says)
				}
			}
			if _, after := from.audience("mine", ""); after != before {
				t.Errorf("the audience has changed from %+v to %+v", before, after)
			}
		})
	}
}

// What is small when it arrives and large afterwards is no harm: nothing is kept.
func TestBombsAreJustLongUploads(t *testing.T) {
	from, _ := served(t)
	const rows = 800 // of 60 KiB: 47 MiB
	bomb := append([]byte("phone,x\n"), bytes.Repeat(append([]byte("+15551234567,"), append(bytes.Repeat([]byte("x"), 60<<10), '\n')...), rows)...)
	for encoding, body := range map[string][]byte{"gzip": gzipped(bomb), "zstd": zstandard(t, bomb)} {
		if len(body) > 1<<20 {
			t.Errorf("%s: %d bytes are no bomb", encoding, len(body))
		}
		if a, u := from.upload(http.MethodPut, "bomb", csvType, body, sending{Headers: map[string]string{"Content-Encoding": encoding}}); a.status != http.StatusOK || u.Received != rows || u.Stored != 1 {
			t.Errorf("%s: %d %s", encoding, a.status, a.body)
		}
	}
}

func TestAudiencesOfOthersAndBadQuestions(t *testing.T) {
	from, _ := served(t)
	lead := []byte("phone\n+15551234567\n")
	const theirs = "theirs"
	if a, _ := from.upload(http.MethodPut, theirs, csvType, lead, sending{Credential: "other"}); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var page struct{ NextCursor *string }
	for _, id := range []string{"a", "b"} {
		from.upload(http.MethodPut, id, csvType, lead, sending{Credential: "other"})
	}
	if from.get("/api/v1/audiences", url.Values{"limit": {"1"}}, "other", &page); page.NextCursor == nil {
		t.Fatal("no cursor")
	}
	long := strings.Repeat("x", 65)
	for _, tc := range []struct {
		method, path, query, credential, code, says string
		status                                      int
	}{
		{"GET", "/api/v1/audiences/theirs", "", "", "not_found", "no audience", 404},
		{"DELETE", "/api/v1/audiences/theirs", "", "", "not_found", "no audience", 404},
		{"GET", "/api/v1/audiences/none", "", "", "not_found", "no audience", 404},
		{"DELETE", "/api/v1/audiences/none", "", "", "not_found", "no audience", 404},
		{"GET", "/api/v1/audiences", "cursor=" + *page.NextCursor, "", "invalid_request", "cursor", 400},
		{"GET", "/api/v1/audiences/a%2Fb", "", "", "invalid_request", "audienceId must be", 400},
		{"GET", "/api/v1/audiences/a%20b", "", "", "invalid_request", "audienceId must be", 400},
		{"GET", "/api/v1/audiences/%ff", "", "", "invalid_request", "audienceId must be", 400},
		{"GET", "/api/v1/audiences/" + long, "", "", "invalid_request", "audienceId must be", 400},
		{"DELETE", "/api/v1/audiences/a%2F..%2Ftheirs", "", "", "invalid_request", "audienceId must be", 400},
		{"GET", "/api/v1/audiences/none", "x=1", "", "invalid_request", `"x" is unknown`, 400},
		{"GET", "/api/v1/audiences", "Limit=1", "", "invalid_request", `"Limit" is unknown`, 400},
		{"GET", "/api/v1/audiences", "limit=0", "", "invalid_request", "limit must be 1 to 1000", 400},
		{"GET", "/api/v1/audiences", "limit=1001", "", "invalid_request", "limit must be 1 to 1000", 400},
		{"GET", "/api/v1/audiences", "cursor=AAAA", "", "invalid_request", "cursor", 400},
		{"GET", "/api/v1/audiences", "", "none", "unauthenticated", "", 401},
		{"GET", "/api/v1/audiences/theirs", "", "revoked", "unauthenticated", "", 401},
		{"DELETE", "/api/v1/audiences/theirs", "", "hmac", "unauthenticated", "", 401},
		{"GET", "/api/v1/audiences", "", "narrow", "forbidden", "campaigns", 403},
		{"GET", "/api/v1/audiences/theirs", "", "narrow", "forbidden", "campaigns", 403},
		{"DELETE", "/api/v1/audiences/theirs", "", "narrow", "forbidden", "campaigns", 403},
		{"GET", "/api/v1/audiences/a%2Fb", "", "narrow", "invalid_request", "audienceId must be", 400},
		{"GET", "/api/v1/audiences/a%2Fb", "", "none", "unauthenticated", "", 401},
	} {
		a := from.send(tc.method, tc.path, nil, sending{Query: tc.query, Credential: tc.credential})
		var shown shownAudience
		if err := json.Unmarshal(a.body, &shown); err != nil || a.status != tc.status || shown.Error.Code != tc.code || !strings.Contains(shown.Error.Message, tc.says) {
			t.Errorf("%s %s?%s as %q: %d %s; want %d %s %q", tc.method, tc.path, tc.query, tc.credential, a.status, a.body, tc.status, tc.code, tc.says)
		}
	}
	for _, id := range []string{"a%2Fb", long, "a%20b"} {
		if a, u := from.upload(http.MethodPut, id, csvType, lead, sending{}); a.status != 400 || !strings.Contains(u.Error.Message, "audienceId must be") {
			t.Errorf("upload to %s: %d %s", id, a.status, a.body)
		}
	}
	if status, shown := from.audience(theirs, "other"); status != http.StatusOK || shown.Leads != 1 {
		t.Errorf("theirs is %d %+v", status, shown)
	}
	// An id may be used by every organization for an audience of its own.
	from.upload(http.MethodPut, theirs, csvType, []byte("phone\n+15551234567\n+442079460000\n"), sending{})
	if _, mine := from.audience(theirs, ""); mine.Leads != 2 {
		t.Errorf("mine has %d leads", mine.Leads)
	}
	if a := from.send(http.MethodDelete, "/api/v1/audiences/theirs", nil, sending{}); a.status != http.StatusNoContent || len(a.body) != 0 {
		t.Errorf("delete: %d %q", a.status, a.body)
	}
	if status, shown := from.audience(theirs, "other"); status != http.StatusOK || shown.Leads != 1 {
		t.Errorf("theirs is %d %+v", status, shown)
	}
}

func TestAudiencesAreListedInPages(t *testing.T) {
	from, _ := served(t)
	var want []string
	for i := range 12 {
		id := fmt.Sprintf("a.%02d", i)
		from.upload(http.MethodPut, id, ndjsonType, []byte(strings.Repeat(`{"phoneE164":"+15551234567"}`+"\n", i)), sending{})
		if i%4 == 1 {
			from.send(http.MethodDelete, "/api/v1/audiences/"+id, nil, sending{})
			continue
		}
		want = append(want, id)
	}
	for _, limit := range []string{"1", "4", "9", "10", ""} {
		var got []string
		query := url.Values{}
		if limit != "" {
			query.Set("limit", limit)
		}
		for {
			var page struct {
				Audiences  []shownAudience
				NextCursor *string
			}
			if a := from.get("/api/v1/audiences", query, "", &page); a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, a.body)
			}
			for _, shown := range page.Audiences {
				got = append(got, shown.AudienceID)
				if wanted := min(1, len(strings.TrimLeft(shown.AudienceID, "a.0"))); shown.Leads != wanted || shown.CreatedAt > shown.UpdatedAt {
					t.Errorf("%+v", shown)
				}
			}
			if page.NextCursor == nil {
				break
			}
			query.Set("cursor", *page.NextCursor)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in pages of %s: (-want +got)\n%s", limit, diff)
		}
	}
}

// rawUpload begins an upload on a connection of its own.
func rawUpload(t *testing.T, from *sender, method, id, headers, body string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(from.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	from.credentials["apiKey"](h, nil)
	if _, err := fmt.Fprintf(conn, "%s /api/v1/audiences/%s/leads HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: text/csv\r\n%s\r\n\r\n%s", method, id, h.Get("Authorization"), headers, body); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func readAnswer(t *testing.T, conn net.Conn) (int, string) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// ended counts the uploads that have ended without being stored.
func ended(t *testing.T, from *sender) (n int) {
	t.Helper()
	_, text := get(t, from.base+"/metrics")
	for line := range strings.Lines(text) {
		for _, outcome := range []string{"refused", "failed"} {
			var one int
			if _, err := fmt.Sscanf(line, `leadevents_audience_uploads_total{outcome="`+outcome+`"} %d`, &one); err == nil {
				n += one
			}
		}
	}
	return n
}

func TestACutConnectionChangesNothing(t *testing.T) {
	from, _ := served(t)
	from.upload(http.MethodPut, "cut", csvType, []byte("phone\n+442079460000\n"), sending{})
	_, before := from.audience("cut", "")
	half := "phone\n" + strings.Repeat("+15551234567\n", 150_000) // more than a piece: some of it is stored
	packed := string(gzipped([]byte(half)))
	for name, tc := range map[string]struct{ headers, body string }{
		"of known length":          {fmt.Sprintf("Content-Length: %d", len(half)+1), half},
		"within a chunk":           {"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s", len(half)+1, half)},
		"before the last chunk":    {"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n", len(half), half)},
		"gzip":                     {fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d", len(packed)), packed[:len(packed)-1]},
		"after a whole gzip body":  {fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d", len(packed)+1), packed},
		"after its first few rows": {"Content-Length: 1000", "phone\n+15551234567\n"},
	} {
		for _, method := range []string{http.MethodPut, http.MethodPost} {
			for _, reset := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s, reset %v", method, name, reset), func(t *testing.T) {
					known := ended(t, from)
					conn := rawUpload(t, from, method, "cut", tc.headers, tc.body)
					if reset {
						if err := conn.SetLinger(0); err != nil {
							t.Fatal(err)
						}
						_ = conn.Close()
					} else {
						if err := conn.CloseWrite(); err != nil {
							t.Fatal(err)
						}
						if status, text := readAnswer(t, conn); status != http.StatusBadRequest || !strings.Contains(text, "cut short") {
							t.Errorf("%d %s", status, text)
						}
					}
					eventually(t, "the upload has ended", func() bool { return ended(t, from) == known+1 })
					if _, after := from.audience("cut", ""); after != before {
						t.Errorf("the audience has changed from %+v to %+v", before, after)
					}
				})
			}
		}
	}
	if _, u := from.upload(http.MethodPost, "cut", csvType, []byte("phone\n+15551234567\n"), sending{}); u.Stored != 1 {
		t.Errorf("a lead of the uploads that were cut is there: %+v", u)
	}
}

// Who still sends gets to read what is wrong with what it has sent.
func TestTheErrorReachesAClientThatIsStillSending(t *testing.T) {
	from, _ := served(t)
	conn := rawUpload(t, from, http.MethodPut, "sending", "Content-Length: 1000000000", "phone\n+15551234567\n\"\n\"x\n")
	sent := make(chan error, 1)
	go func() {
		more := bytes.Repeat([]byte("+15551234567\n"), 10_000)
		for {
			if _, err := conn.Write(more); err != nil {
				sent <- err
				return
			}
		}
	}()
	if status, text := readAnswer(t, conn); status != http.StatusBadRequest || !strings.Contains(text, "line 4: after a quoted field") {
		t.Errorf("%d %s", status, text)
	}
	_ = conn.Close()
	<-sent
}

// The fifth upload at once is told when to come again, before it sends a byte.
func TestTheFifthUploadAtOnceIsRefused(t *testing.T) {
	from, _ := served(t)
	const body = "phone\n+15551234567\n"
	var running []*net.TCPConn
	for i := range 4 {
		running = append(running, rawUpload(t, from, http.MethodPut, fmt.Sprint("running", i), fmt.Sprintf("Content-Length: %d", len(body)), body[:10]))
	}
	eventually(t, "four uploads run", func() bool {
		_, text := get(t, from.base+"/metrics")
		return strings.Contains(text, "leadevents_audience_uploads_running 4\n")
	})
	a, u := from.upload(http.MethodPut, "fifth", csvType, []byte(body), sending{})
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(u.Error.Message, "4 uploads are running already (audiences.max_uploads)") {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	for _, conn := range running {
		if _, err := io.WriteString(conn, body[10:]); err != nil {
			t.Fatal(err)
		}
		if status, text := readAnswer(t, conn); status != http.StatusOK || !strings.Contains(text, `"stored":1`) {
			t.Errorf("%d %s", status, text)
		}
	}
	if a, _ := from.upload(http.MethodPut, "fifth", csvType, []byte(body), sending{}); a.status != http.StatusOK {
		t.Errorf("a place is free: %d %s", a.status, a.body)
	}
}
