package httpserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"leadevents"
)

// refusedAs fails the test unless err is a refusal of one of the kinds, in UTF-8.
func refusedAs(t *testing.T, err error, kinds ...leadevents.Kind) {
	t.Helper()
	e, ok := errors.AsType[*leadevents.Error](err)
	if !ok || !slices.Contains(kinds, e.Kind) || e.Message == "" {
		t.Fatalf("%v is not a refusal of %v", err, kinds)
	}
	if !utf8.ValidString(e.Message) || len(e.Message) > 2000 {
		t.Fatalf("a message of %d bytes: %.100q", len(e.Message), e.Message)
	}
}

// FuzzUnmarshalStrict: what is accepted is one JSON object that encoding/json reads to
// the same, strictly too; everything else is a refusal with a short reason.
func FuzzUnmarshalStrict(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","scopes":["x",""],"id":18446744073709551615,"flag":true,"deep":{"n":-1.5e3}}`, ` {} `, `null`, `[]`, `{}{}`, `{"name":"a","name":"b"}`,
		`{"Name":"a"}`, `{"name":"\ud83d"}`, `{"name":"\u0000é"}`, "{\"name\":\"\xff\"}", `{"id":1.0}`, `{"id":-1}`, `{"deep":{"x":1}}`, `{"scopes":null}`, "\ufeff{}", `{"deep":` + strings.Repeat(`[`, 100),
		`{"` + strings.Repeat("k", 5000) + `":1}`,
	} {
		f.Add([]byte(seed))
	}
	type deep struct {
		N *float64 `json:"n"`
	}
	type body struct {
		Name   string    `json:"name"`
		Scopes *[]string `json:"scopes"`
		ID     *uint64   `json:"id"`
		Flag   bool      `json:"flag"`
		Deep   deep      `json:"deep"`
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want body
		if err := UnmarshalStrict(data, &got); err != nil {
			refusedAs(t, err, leadevents.InvalidJSON, leadevents.InvalidRequest)
			return
		}
		if !utf8.Valid(data) || bytes.TrimLeft(data, " \t\r\n")[0] != '{' {
			t.Fatalf("accepted: %q", data)
		}
		loose := json.NewDecoder(bytes.NewReader(data))
		loose.DisallowUnknownFields()
		if err := loose.Decode(&want); err != nil || loose.More() {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("read %+v, encoding/json %+v", got, want)
		}
	})
}

// requestWith is a request that came from an address with some headers, as handlers
// get it.
func requestWith(from string, query string, headers ...string) *fasthttp.RequestCtx {
	var r fasthttp.Request
	r.SetRequestURI("/x")
	r.URI().SetQueryString(query)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&r, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 4711)), nil)
	return ctx
}

// FuzzContentHeaders: what is accepted is one of those that are understood, whatever
// stands around it, and everything else is a 415.
func FuzzContentHeaders(f *testing.F) {
	for _, seed := range [][2]string{
		{"application/json", "gzip"}, {"", ""}, {"Application/JSON; charset=UTF-8", "X-GZIP"}, {"text/csv;header=present", " zstd "}, {"application/json; charset=latin1", "gzip, zstd"},
		{"application/json;;;", "identity"}, {"a/b; x=\"", "br"}, {"application/json\x00", "gzip\x00"}, {"/", "deflate"},
	} {
		f.Add(seed[0], seed[1])
	}
	app := fiber.New()
	f.Fuzz(func(t *testing.T, contentType, contentEncodingHeader string) {
		ctx := requestWith("203.0.113.7", "", "Content-Encoding", contentEncodingHeader)
		ctx.Request.Header.SetContentType(contentType)
		c := app.AcquireCtx(ctx)
		defer app.ReleaseCtx(c)
		accepted := []string{"application/json", "text/csv"}
		if mediaType, err := CheckContentType(c, accepted...); err != nil {
			refusedAs(t, err, leadevents.UnsupportedMediaType)
		} else if !slices.Contains(accepted, mediaType) || contentType != "" && !strings.Contains(strings.ToLower(contentType), mediaType) {
			t.Fatalf("%q is %q", contentType, mediaType)
		}
		if enc, err := contentEncoding(ctx); err != nil {
			refusedAs(t, err, leadevents.UnsupportedMediaType)
		} else if enc != identity && !strings.Contains(strings.ToLower(contentEncodingHeader), enc.String()) {
			t.Fatalf("%q is %s", contentEncodingHeader, enc)
		}
	})
}

// FuzzQueryParameters: what is accepted are known names, each once, with a value, and
// read as net/url reads them where that can.
func FuzzQueryParameters(f *testing.F) {
	for _, seed := range []string{"limit=1&cursor=abc", "", "&&", "limit", "limit=", "limit=1&limit=2", "LIMIT=1", "cursor=%41+b%2B", "cursor=%zz", "cursor=%00%ff", "=1", "limit=1;cursor=2", "%6cimit=7", "cursor==x"} {
		f.Add(seed)
	}
	app := fiber.New()
	known := []string{"limit", "cursor", "wait"}
	f.Fuzz(func(t *testing.T, query string) {
		c := app.AcquireCtx(requestWith("203.0.113.7", query))
		defer app.ReleaseCtx(c)
		given, err := QueryParameters(c, known...)
		if err != nil {
			e, _ := errors.AsType[*leadevents.Error](err)
			if e == nil || e.Kind != leadevents.InvalidRequest {
				t.Fatalf("%v", err)
			}
			return
		}
		if _, err := QueryFlag(given, "wait"); err != nil {
			refusedAs(t, err, leadevents.InvalidRequest)
		}
		standard, err := url.ParseQuery(query)
		if strings.Join(standard[""], "") == "" { // "=" alone, which nobody means anything by
			delete(standard, "")
		}
		for name, value := range given {
			if !slices.Contains(known, name) || value == "" {
				t.Fatalf("%q gives %q = %q", query, name, value)
			}
			if err == nil && !slices.Equal(standard[name], []string{value}) {
				t.Fatalf("%q gives %s = %q, net/url %q", query, name, value, standard[name])
			}
		}
		if err == nil && len(standard) != len(given) {
			t.Fatalf("%q gives %q, net/url %q", query, given, standard)
		}
	})
}

// FuzzParam: a path parameter is unescaped once, as net/url does it, or refused.
func FuzzParam(f *testing.F) {
	for _, seed := range []string{"abc", "%2B15551234567", "%", "%zz", "a%2Fb", "a%252Fb", "%00", "%ff", "..", "a+b", "%2e%2e"} {
		f.Add(seed)
	}
	s := fuzzed(f)
	var got string
	var called bool
	var failed error
	s.App().Get("/x/:id", func(c *fiber.Ctx) error { called = true; got, failed = Param(c, "id"); return nil })
	handler := s.App().Handler()
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || strings.ContainsAny(text, "/?#") || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return // another path, or none that a request line can have
		}
		called = false
		ctx := requestWith("203.0.113.7", "")
		ctx.Request.SetRequestURI("/x/" + text)
		s.begin(ctx)
		handler(ctx)
		want, bad := url.PathUnescape(text)
		switch {
		case !called:
			t.Fatalf("%q goes elsewhere", text)
		case bad != nil && failed == nil, bad == nil && failed != nil, bad == nil && got != want:
			t.Fatalf("%q is %q, %v; net/url: %q, %v", text, got, failed, want, bad)
		case failed != nil:
			refusedAs(t, failed, leadevents.InvalidRequest)
		}
	})
}

// fuzzed is a server that serves nothing.
func fuzzed(f *testing.F) *Server {
	f.Helper()
	reg := prometheus.NewRegistry()
	s, err := New(DefaultConfig(), slog.New(slog.DiscardHandler), reg, reg)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// FuzzClientAddress: what a client writes never counts beyond the last address that a
// trusted proxy has added, and whoever is no proxy is himself.
func FuzzClientAddress(f *testing.F) {
	for _, seed := range []string{"", "203.0.113.9", "1.1.1.1, 10.0.0.1", "unknown", "[2001:db8::1]:80", "::ffff:10.0.0.1", "10.0.0.1,,", "fe80::1%eth0", ",", "1.2.3.4:99999", strings.Repeat("10.0.0.1,", 300)} {
		f.Add(seed, seed)
	}
	s := &Server{cfg: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	const header = "X-Forwarded-For"
	f.Fuzz(func(t *testing.T, one, two string) {
		at := func(from string, lines ...string) netip.Addr {
			var headers []string
			for _, line := range lines {
				headers = append(headers, header, line)
			}
			return s.clientAddress(requestWith(from, "", headers...))
		}
		if got := at("203.0.113.7", one, two); got != netip.MustParseAddr("203.0.113.7") {
			t.Fatalf("a stranger calls himself %s", got)
		}
		if got := at("10.1.1.1", one, two, "203.0.113.8"); got != netip.MustParseAddr("203.0.113.8") {
			t.Fatalf("behind a proxy: %s", got)
		}
		alone := at("10.1.1.1", one, two)
		if !alone.IsValid() || alone.Zone() != "" || alone.Is4In6() {
			t.Fatalf("%v has another spelling", alone)
		}
		// One more proxy between changes nothing of it.
		if through := at("10.1.1.1", one, two, "10.2.2.2"); through != alone && !(s.trusted(alone) && s.trusted(through)) {
			t.Fatalf("%s, and through another proxy %s", alone, through)
		}
	})
}

// FuzzRequestID: an id is the client's if it can stand in a header and a log line, else
// one of ours.
func FuzzRequestID(f *testing.F) {
	for _, seed := range []string{"", "mine", "a b", "é", "a\nb", "\x7f", strings.Repeat("x", 128), strings.Repeat("x", 129)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		id := requestID(sent)
		fits := len(sent) > 0 && len(sent) <= 128 && !bytes.ContainsFunc(sent, func(r rune) bool { return r < ' ' || r > '~' })
		if fits && id != string(sent) || !fits && (len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "") {
			t.Fatalf("%q becomes %q", sent, id)
		}
	})
}

// FuzzDecompress: whatever claims to be compressed gives at most the limit, and all
// memory back; and what was compressed comes out again.
func FuzzDecompress(f *testing.F) {
	pack := func(plain []byte, enc encoding) []byte {
		var b bytes.Buffer
		if enc == gzipEncoding {
			w := gzip.NewWriter(&b)
			_, _ = w.Write(plain)
			_ = w.Close()
		} else {
			w, _ := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
			_, _ = w.Write(plain)
			_ = w.Close()
		}
		return b.Bytes()
	}
	bomb := make([]byte, 1<<20)
	for _, enc := range []encoding{gzipEncoding, zstdEncoding} {
		for _, plain := range [][]byte{nil, []byte(`{"a":1}`), bomb, bytes.Repeat([]byte("ab"), 1000)} {
			f.Add(pack(plain, enc), enc == zstdEncoding)
			f.Add(append(pack(plain, enc), pack(plain, enc)...), enc == zstdEncoding) // two members
		}
		f.Add(pack(bomb, enc)[:20], enc == zstdEncoding)
	}
	s := fuzzed(f)
	const limit = 64 << 10
	unpack := func(t *testing.T, raw []byte, enc encoding) ([]byte, error) {
		t.Helper()
		b := &Body{srv: s, encoding: enc, rawLen: len(raw)}
		var err error
		if b.raw, err = s.takeBuffer(max(len(raw), 1)); err != nil {
			t.Fatal(err)
		}
		copy(b.raw.b, raw)
		plain, err := b.Decoded(limit)
		plain = bytes.Clone(plain)
		b.Release()
		if n := s.memory.inUse(); n != 0 {
			t.Fatalf("%d bytes are held", n)
		}
		return plain, err
	}
	f.Fuzz(func(t *testing.T, raw []byte, zstandard bool) {
		enc := gzipEncoding
		if zstandard {
			enc = zstdEncoding
		}
		plain, err := unpack(t, raw, enc)
		if err != nil {
			refusedAs(t, err, leadevents.InvalidJSON, leadevents.BodyTooLarge)
		}
		if len(plain) > limit {
			t.Fatalf("%d bytes", len(plain))
		}
		again, err := unpack(t, pack(raw, enc), enc)
		if len(raw) > limit && leadevents.KindOf(err) != leadevents.BodyTooLarge || len(raw) <= limit && (err != nil || !bytes.Equal(again, raw)) {
			t.Fatalf("%d bytes come out as %d, %v", len(raw), len(again), err)
		}
	})
}
