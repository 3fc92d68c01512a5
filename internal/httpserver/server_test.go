package httpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"leadevents"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp's own: the Date header's clock lives as long as the process,
		// a stopped worker pool notices it after up to 10 s of sleep.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// logBuffer is a log that tests read while the server writes it.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lines are the log's lines with the given message.
func (l *logBuffer) lines(t *testing.T, msg string) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(l.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if m["msg"] == msg {
			lines = append(lines, m)
		}
	}
	return lines
}

// fixture is a server that listens.
type fixture struct {
	*Server
	addr, url string
	log       *logBuffer
	registry  *prometheus.Registry
	served    chan error
	stopped   bool
}

// start runs a server until the test ends; register adds its routes.
func start(t testing.TB, change func(*Config), register func(*Server)) *fixture {
	t.Helper()
	cfg := DefaultConfig()
	cfg.LingerTimeout = 3 * time.Second
	if change != nil {
		change(&cfg)
	}
	f := &fixture{log: &logBuffer{}, registry: prometheus.NewRegistry(), served: make(chan error, 1)}
	logger := slog.New(slog.NewJSONHandler(f.log, nil))
	var err error
	if f.Server, err = New(cfg, logger, f.registry, f.registry); err != nil {
		t.Fatal(err)
	}
	if register != nil {
		register(f.Server)
	}
	ln, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr, f.url = ln.Addr().String(), "http://"+ln.Addr().String()
	go func() { f.served <- f.Serve(ln) }()
	t.Cleanup(func() {
		if f.stopped {
			return
		}
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		f.stop(t, ctx)
	})
	return f
}

// stop shuts down and checks that nothing is left.
func (f *fixture) stop(t testing.TB, ctx context.Context) {
	t.Helper()
	f.stopped = true
	if err := f.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-f.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if n := f.memory.inUse(); n != 0 {
		t.Errorf("%d bytes of bodies were never released", n)
	}
	if n := f.requests.inUse(); n != 0 {
		t.Errorf("%d requests are still counted", n)
	}
	if open, lingering := f.conns.counts(); open+lingering != 0 {
		t.Errorf("%d connections open, %d lingering after Shutdown", open, lingering)
	}
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) code(t testing.TB) (code, message string) {
	t.Helper()
	var e struct {
		Error struct{ Code, Message, RequestID string }
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Fatalf("the body %q is not the error envelope: %v", a.body, err)
	}
	if e.Error.RequestID == "" || e.Error.RequestID != a.header.Get("X-Request-Id") {
		t.Errorf("requestId %q in the body, %q in the header", e.Error.RequestID, a.header.Get("X-Request-Id"))
	}
	if ct := a.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type of an error is %q", ct)
	}
	return e.Error.Code, e.Error.Message
}

// send makes a request by net/http; headers are "Name: value".
func (f *fixture) send(t testing.TB, method, path string, body io.Reader, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, f.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestEveryKindHasTheStatusOfTheContract(t *testing.T) {
	want := map[string]int{
		"invalid_json": 400, "invalid_request": 400, "invalid_query": 400, "query_limit": 422,
		"unauthenticated": 401, "organization_mismatch": 403, "forbidden": 403, "not_found": 404,
		"conflict": 409, "body_too_large": 413, "unsupported_media_type": 415, "rate_limited": 429,
		"unavailable": 503, "internal": 500,
	}
	got := map[string]int{}
	for _, kind := range leadevents.Kinds() {
		got[kind.Code()] = Status(kind)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsBecomeAnswers(t *testing.T) {
	secret := errors.New("dial 10.0.0.7: +15551234567")
	tests := []struct {
		name       string
		err        error
		status     int
		code       string
		message    string
		retryAfter string
	}{
		{"a kind's message reaches the client", leadevents.Errorf(leadevents.Conflict, "the send is materialized"), 409, "conflict", "the send is materialized", ""},
		{"a wrapped kind too", fmt.Errorf("put: %w", leadevents.Errorf(leadevents.NotFound, "there is no such send")), 404, "not_found", "there is no such send", ""},
		{"its cause does not", leadevents.Wrap(leadevents.Unavailable, secret, "the store is down"), 503, "unavailable", "the store is down", "1"},
		{"Retry-After is rounded up", &leadevents.Error{Kind: leadevents.RateLimited, Message: "slow down", RetryAfter: 2100 * time.Millisecond}, 429, "rate_limited", "slow down", "3"},
		{"anything else is internal", secret, 500, "internal", internalMessage, ""},
		{"an internal error says nothing", leadevents.Wrap(leadevents.Internal, secret, "hello %s", secret), 500, "internal", internalMessage, ""},
		{"Fiber's own too", fiber.NewError(418, "teapot"), 500, "internal", internalMessage, ""},
		{"quotes in a message are escaped", leadevents.Errorf(leadevents.InvalidRequest, "\"a\" <b>\n"), 400, "invalid_request", "\"a\" <b>\n", ""},
	}
	f := start(t, nil, func(s *Server) {
		for i, tt := range tests {
			s.App().Get(fmt.Sprintf("/err/%d", i), func(*fiber.Ctx) error { return tt.err })
		}
	})
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := f.send(t, "GET", fmt.Sprintf("/err/%d", i), nil)
			code, message := a.code(t)
			if a.status != tt.status || code != tt.code || message != tt.message || a.header.Get("Retry-After") != tt.retryAfter {
				t.Errorf("got %d %s %q Retry-After %q", a.status, code, message, a.header.Get("Retry-After"))
			}
		})
	}
	t.Run("causes of 5xx are in the log, with the request id", func(t *testing.T) {
		a := f.send(t, "GET", "/err/4", nil, "X-Request-Id: find-me")
		if a.header.Get("X-Request-Id") != "find-me" {
			t.Error("the id was not echoed")
		}
		for _, line := range f.log.lines(t, "request") {
			if line["requestId"] == "find-me" {
				if line["error"] != secret.Error() || line["level"] != "ERROR" || line["code"] != "internal" {
					t.Errorf("logged %v", line)
				}
				return
			}
		}
		t.Error("no such line")
	})
}

func TestPathsAndMethodsThatDoNotExist(t *testing.T) {
	f := start(t, nil, func(s *Server) {
		ok := func(c *fiber.Ctx) error { return c.SendString("ok") }
		s.App().Get("/things/:id", ok)
		s.App().Delete("/things/:id", ok)
	})
	a := f.send(t, "GET", "/nothing/+15551234567", nil)
	if code, message := a.code(t); a.status != 404 || code != "not_found" || strings.Contains(message, "1555") {
		t.Errorf("an unknown path: %d %s %q", a.status, code, message)
	}
	a = f.send(t, "POST", "/things/1", nil)
	if code, _ := a.code(t); a.status != 405 || code != "not_found" || a.header.Get("Allow") != "GET, HEAD, DELETE" {
		t.Errorf("another method: %d %s Allow %q", a.status, code, a.header.Get("Allow"))
	}
	a = f.send(t, "BREW", "/things/1", nil)
	if code, _ := a.code(t); a.status != 405 || code != "not_found" {
		t.Errorf("a method nobody knows: %d %s", a.status, code)
	}
	if a = f.send(t, "GET", "/THINGS/1", nil); a.status != 404 {
		t.Errorf("paths are case-sensitive, got %d", a.status)
	}
	if a = f.send(t, "HEAD", "/things/1", nil); a.status != 200 || a.body != "" {
		t.Errorf("HEAD of a GET: %d %q", a.status, a.body)
	}
}

func TestAPanicIsA500AndTheServerLivesOn(t *testing.T) {
	f := start(t, nil, func(s *Server) {
		s.App().Get("/panic/:id", func(c *fiber.Ctx) error {
			c.Set("X-Half", "done")
			panic("boom")
		})
	})
	a := f.send(t, "GET", "/panic/7", nil)
	if code, message := a.code(t); a.status != 500 || code != "internal" || strings.Contains(message, "boom") {
		t.Errorf("got %d %s %q", a.status, code, message)
	}
	if a.header.Get("X-Half") != "" {
		t.Error("headers of the failed handler were sent")
	}
	lines := f.log.lines(t, "request")
	last := lines[len(lines)-1]
	stack, _ := last["stack"].(string)
	if last["error"] != "panic: boom" || last["route"] != "/panic/:id" || !strings.Contains(stack, "server_test.go") {
		t.Errorf("logged %v", last)
	}
	if got := testutil.ToFloat64(f.metrics.panics); got != 1 {
		t.Errorf("%v panics counted", got)
	}
	if a := f.send(t, "GET", "/livez", nil); a.status != 200 {
		t.Errorf("/livez afterwards: %d", a.status)
	}
}

func TestRequestIDs(t *testing.T) {
	f := start(t, nil, func(s *Server) {
		s.App().Get("/id", func(c *fiber.Ctx) error { return c.SendString(RequestID(c)) })
	})
	tests := []struct {
		name, sent string
		echoed     bool
	}{
		{"one character", "a", true},
		{"any printable ASCII", "a b/~!{}", true},
		{"128 characters", strings.Repeat("x", 128), true},
		{"129 characters are replaced", strings.Repeat("x", 129), false},
		{"others than ASCII are replaced", "größe", false},
		{"none is made", "", false},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var headers []string
			if tt.sent != "" {
				headers = []string{"X-Request-Id: " + tt.sent}
			}
			a := f.send(t, "GET", "/id", nil, headers...)
			id := a.header.Get("X-Request-Id")
			if id != a.body || (id == tt.sent) != tt.echoed {
				t.Errorf("header %q, handler %q", id, a.body)
			}
			if !tt.echoed && (len(id) != 32 || seen[id]) {
				t.Errorf("made %q", id)
			}
			seen[id] = true
		})
	}
	for _, path := range []string{"/livez", "/nothing"} {
		if id := f.send(t, "GET", path, nil).header.Get("X-Request-Id"); len(id) != 32 {
			t.Errorf("%s has the id %q", path, id)
		}
	}
}

func TestOneLogLineARequestWithoutPhones(t *testing.T) {
	f := start(t, nil, func(s *Server) {
		s.App().Post("/leads/:phone/events", func(c *fiber.Ctx) error {
			SetOrganization(c, 42)
			b, err := ReadBody(c, 100)
			if err != nil {
				return err
			}
			defer b.Release()
			return c.Send(b.Raw())
		})
	})
	f.send(t, "POST", "/leads/+15551234567/events?phone=%2B15551234567", strings.NewReader("12345"))
	f.send(t, "GET", "/leads/+15551234567/nothing", nil)
	f.send(t, "GET", "/leads/+15551234567/events", nil)
	var lines []map[string]any
	eventually(t, "three lines", func() bool { lines = f.log.lines(t, "request"); return len(lines) == 3 })
	if strings.Contains(f.log.String(), "1555") {
		t.Error("the log holds a phone")
	}
	for _, line := range lines {
		if d, ok := line["duration"].(float64); !ok || d <= 0 {
			t.Errorf("duration %v", line["duration"])
		}
		if id, _ := line["requestId"].(string); len(id) != 32 {
			t.Errorf("requestId %v", line["requestId"])
		}
		for _, k := range []string{"time", "duration", "requestId", "bytesOut"} {
			delete(line, k)
		}
	}
	want := []map[string]any{
		{"level": "INFO", "msg": "request", "client": "127.0.0.1", "method": "POST", "route": "/leads/:phone/events", "status": 200., "bytesIn": 5., "organization": 42.},
		{"level": "INFO", "msg": "request", "client": "127.0.0.1", "method": "GET", "route": "", "status": 404., "bytesIn": 0., "code": "not_found"},
		{"level": "INFO", "msg": "request", "client": "127.0.0.1", "method": "GET", "route": "", "status": 405., "bytesIn": 0., "code": "not_found"},
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutRequestLogOnlyFailuresAreLogged(t *testing.T) {
	f := start(t, func(c *Config) { c.LogRequests = false }, func(s *Server) {
		s.App().Get("/fail", func(*fiber.Ctx) error { return errors.New("broken") })
	})
	f.send(t, "GET", "/livez", nil)
	f.send(t, "GET", "/nothing", nil)
	f.send(t, "GET", "/fail", nil)
	if lines := f.log.lines(t, "request"); len(lines) != 1 || lines[0]["error"] != "broken" {
		t.Errorf("logged %v", lines)
	}
}

func TestParamsAreUnescapedAfterRouting(t *testing.T) {
	f := start(t, nil, func(s *Server) {
		s.App().Get("/leads/:phone/events", func(c *fiber.Ctx) error {
			p, err := Param(c, "phone")
			if err != nil {
				return err
			}
			return c.SendString(p)
		})
	})
	for path, want := range map[string]string{
		"/leads/+15551234567/events":   "+15551234567",
		"/leads/%2B15551234567/events": "+15551234567",
		"/leads/a%2Fb/events":          "a/b",
		"/leads/a%20b/events":          "a b",
	} {
		if a := f.send(t, "GET", path, nil); a.body != want || a.status != 200 {
			t.Errorf("%s: %d %q", path, a.status, a.body)
		}
	}
	raw := f.dial(t)
	raw.write("GET /leads/a%zz/events HTTP/1.1\r\nHost: x\r\n\r\n")
	a := raw.answer()
	if code, message := a.code(t); a.status != 400 || code != "invalid_request" || !strings.Contains(message, "phone in the path") {
		t.Errorf("broken escape: %d %s %q", a.status, code, message)
	}
}

func TestRoutesListsWhatIsRegistered(t *testing.T) {
	f := start(t, func(c *Config) { c.OpenAPI = []byte("openapi: 3.1.0\n") }, func(s *Server) {
		ok := func(c *fiber.Ctx) error { return nil }
		s.App().Put("/api/v1/sends/:sendId", Precheck(1), ok)
		s.App().Get("/api/v1/sends/:sendId", ok)
	})
	want := []Route{
		{"GET", "/api/v1/openapi.yaml"}, {"GET", "/api/v1/sends/:sendId"}, {"PUT", "/api/v1/sends/:sendId"},
		{"GET", "/livez"}, {"GET", "/metrics"}, {"GET", "/readyz"},
	}
	if diff := cmp.Diff(want, f.Routes()); diff != "" {
		t.Error(diff)
	}
	if got := want[1].OpenAPIPath(); got != "/api/v1/sends/{sendId}" {
		t.Errorf("OpenAPI path %q", got)
	}
	if a := f.send(t, "GET", "/api/v1/openapi.yaml", nil); a.body != "openapi: 3.1.0\n" || a.header.Get("Content-Type") != "application/yaml; charset=utf-8" {
		t.Errorf("openapi.yaml: %q %q", a.body, a.header.Get("Content-Type"))
	}
}

func TestConfigsOutOfRangeAreRefused(t *testing.T) {
	tests := map[string]func(*Config){
		"http.max_header_bytes is 10; it must be 1024 to 1048576":  func(c *Config) { c.MaxHeaderBytes = 10 },
		"http.max_connections is 0; it must be 1 to 1000000":       func(c *Config) { c.MaxConnections = 0 },
		"http.max_requests is -1; it must be 1 to 1000000":         func(c *Config) { c.MaxRequests = -1 },
		"http.max_body_memory is 1; it must be 33554432 to 109951": func(c *Config) { c.MaxBodyMemory = 1 },
		"http.body_timeout is 0s; it must be 1ms to 24h":           func(c *Config) { c.BodyTimeout = 0 },
		"http.linger_timeout is 48h0m0s; it must be 1ms to 24h":    func(c *Config) { c.LingerTimeout = 48 * time.Hour },
	}
	for want, change := range tests {
		cfg := DefaultConfig()
		change(&cfg)
		reg := prometheus.NewRegistry()
		if _, err := New(cfg, slog.New(slog.DiscardHandler), reg, reg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestListenSaysWhatToDo(t *testing.T) {
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := Listen(t.Context(), ln.Addr().String()); err == nil || !strings.Contains(err.Error(), "another program has this port") {
		t.Errorf("a taken port: %v", err)
	}
	var dnsErr *net.DNSError
	if _, err := Listen(t.Context(), "no.such.host.invalid:1"); !errors.As(err, &dnsErr) {
		t.Errorf("an unknown host: %v", err)
	}
}
