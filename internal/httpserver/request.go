package httpserver

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"encoding/binary"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"leadevents"
)

// headerRequestID is the canonical spelling of X-Request-Id.
const headerRequestID = "X-Request-Id"

// maxRequestID is the longest X-Request-Id that is echoed.
const maxRequestID = 128

// request is what the server knows of a request beside Fiber's context.
type request struct {
	srv       *Server
	conn      *conn // nil in tests without one
	started   time.Time
	id        string
	route     string // the pattern ("/api/v1/leads/:phone/events"), "" if none matched
	org       leadevents.OrgID
	bytesIn   int64 // body bytes read, as sent
	bodyEnded bool  // the body was read to its end
	expecting bool  // the client waits for "100 Continue"
	awaitBody bool  // the handler wants the body it is waiting with
	malformed bool  // there is no request to speak of
	admitted  bool  // counted in MaxRequests
	stepped   bool  // was, and will be when its body has come
	counted   bool  // by First
	atEnd     []func()

	code  string // of the error answered, "" without one
	cause error  // of an answer of 500 and above, for the log
	stack []byte // of a panic
}

var requestPool = sync.Pool{New: func() any { return new(request) }}

type requestKey struct{}

// requestOf is the request of a context. Every context that reaches a handler
// of this server has one.
func requestOf(ctx *fasthttp.RequestCtx) *request {
	r, ok := ctx.UserValue(requestKey{}).(*request)
	if !ok {
		panic("httpserver: the context is not of a request of this server")
	}
	return r
}

// RequestID is the id of the request, as sent by the client or made here. It
// may be kept after the request.
func RequestID(c *fiber.Ctx) string { return requestOf(c.Context()).id }

// SetOrganization puts the organization into the request's log line.
func SetOrganization(c *fiber.Ctx, org leadevents.OrgID) { requestOf(c.Context()).org = org }

// Context is for the work of a handler: it ends when the server is stopped by
// force. It does not end with the client's connection, which fasthttp does not
// watch; [Attended] does. (c.Context() itself ends as soon as a shutdown starts: do not use it.)
func Context(c *fiber.Ctx) context.Context { return requestOf(c.Context()).srv.base }

// Waiting is for a handler that waits for work of others: it ends as Context does, and as
// soon as a stop starts too. A stop waits for calls in flight, but not for this one.
func Waiting(c *fiber.Ctx) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(Context(c))
	stopping := c.Context().Done()
	go func() {
		select {
		case <-stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// begin attaches a request to ctx.
func (s *Server) begin(ctx *fasthttp.RequestCtx) *request {
	r := requestPool.Get().(*request)
	*r = request{srv: s, conn: connOf(ctx.Conn()), started: time.Now(), id: requestID(ctx.Request.Header.Peek(headerRequestID))}
	if r.conn != nil {
		r.counted, r.conn.counted = r.conn.counted, false
	}
	ctx.SetUserValue(requestKey{}, r)
	return r
}

// requestID is the client's id if it is 1 to 128 printable ASCII characters,
// else a new one: 128 random bits, not a secret.
func requestID(sent []byte) string {
	if len(sent) > 0 && len(sent) <= maxRequestID && printable(sent) {
		return string(sent)
	}
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(b[8:], rand.Uint64())
	return hex.EncodeToString(b[:])
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// handle is the fasthttp handler: it wraps Fiber's.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	r := s.begin(ctx)
	s.run(ctx, r)
	s.finish(ctx, r)
}

// expect answers "Expect: 100-continue". The handler runs before the client
// sends its body: whatever it answers without the body (401, 413, 415…) is the
// answer; if it asks for the body, the client is told to continue and fasthttp
// calls handle, which runs the handler again.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	r := s.begin(ctx)
	r.expecting = true
	s.run(ctx, r)
	if r.awaitBody {
		// The second run is the same request: it keeps the id, and is not counted again.
		ctx.Request.Header.Set(headerRequestID, r.id)
		if r.conn != nil {
			r.conn.counted = r.counted
		}
		end(r.atEnd)
		ctx.Response.Reset()
		ctx.ResetUserValues()
		s.release(r)
		return fasthttp.StatusContinue
	}
	s.finish(ctx, r)
	return ctx.Response.StatusCode()
}

// run is admission, Fiber, and a net below both for panics.
func (s *Server) run(ctx *fasthttp.RequestCtx, r *request) {
	defer func() {
		if v := recover(); v != nil {
			s.panicked(ctx, v)
		}
	}()
	if !s.conns.begin(r.conn) {
		failCtx(ctx, errGone) // nobody reads it; but nothing is done that nobody hears of
		return
	}
	if !knownMethod(ctx.Method()) {
		// Fiber answers these itself, in plain text.
		failCtx(ctx, errMethod)
		return
	}
	if !exempt(ctx) {
		if !s.requests.acquire(1) {
			failCtx(ctx, s.requestsRefusal())
			return
		}
		r.admitted = true
	}
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	s.fiberHandler(ctx)
}

// around is the first Fiber middleware of every route.
func (s *Server) around(c *fiber.Ctx) (err error) {
	r := requestOf(c.Context())
	own := c.Route()
	defer func() {
		if v := recover(); v != nil {
			s.panicked(c.Context(), v)
			err = nil
		}
		if route := c.Route(); route != own {
			r.route = route.Path
		}
	}()
	c.SetUserContext(s.base)
	if err := c.Next(); err != nil {
		return Fail(c, err)
	}
	return nil
}

func (s *Server) panicked(ctx *fasthttp.RequestCtx, v any) {
	r := requestOf(ctx)
	r.stack = debug.Stack()
	s.metrics.panics.Inc()
	ctx.Response.Reset()
	failCtx(ctx, fmt.Errorf("panic: %v", v))
}

// knownMethod says whether Fiber routes the method.
func knownMethod(m []byte) bool {
	switch string(m) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH":
		return true
	}
	return false
}

// exempt are the paths that must answer when the server is full: it is then
// that somebody looks.
func exempt(ctx *fasthttp.RequestCtx) bool {
	switch string(ctx.URI().PathOriginal()) {
	case pathLivez, pathReadyz, pathMetrics:
		return true
	}
	return false
}

// failed remembers an error answer for the log.
func (r *request) failed(status int, e *leadevents.Error, err error) {
	r.code = e.Kind.Code()
	if status >= fasthttp.StatusInternalServerError {
		r.cause = err
	}
}

// unread says whether the client may still be sending this request's body.
func (r *request) unread(ctx *fasthttp.RequestCtx) bool {
	if r.malformed {
		return true
	}
	if r.bodyEnded || (!ctx.Request.IsBodyStream() && !r.expecting) {
		return false
	}
	length := ctx.Request.Header.ContentLength()
	return length == -1 || r.bytesIn < int64(length)
}

// finish is the end of every request: id, connection, metrics, log.
func (s *Server) finish(ctx *fasthttp.RequestCtx, r *request) {
	end(r.atEnd)
	resp := &ctx.Response
	resp.Header.Set(headerRequestID, r.id)
	secureHeaders(ctx)
	status := resp.StatusCode()

	if r.unread(ctx) {
		// A chunked body has no known end. After an error do not wait for it:
		// fasthttp would read on before it closes, and the answer would not
		// say that it closes.
		if status >= 400 && ctx.Request.Header.ContentLength() == -1 {
			ctx.SetConnectionClose()
		}
		if c := r.conn; c != nil {
			c.unread.Store(true)
			// fasthttp reads a remainder of up to 256 KiB to keep the
			// connection: no longer than lingering would.
			_ = c.SetReadDeadline(time.Now().Add(s.lingerIdle()))
		}
	}

	elapsed := time.Since(r.started)
	bytesOut := 0
	if !resp.IsBodyStream() {
		bytesOut = len(resp.Body())
	}
	method := methodLabel(ctx.Method())
	s.metrics.observe(method, r.route, status, elapsed, r.bytesIn, bytesOut)
	if s.cfg.LogRequests || status >= fasthttp.StatusInternalServerError {
		s.log(ctx, r, method, status, bytesOut, elapsed)
	}
	ctx.RemoveUserValue(requestKey{})
	s.release(r)
}

// stepAside gives the request's place among those handled to others while its body
// comes: as slowly as the client likes, and in hmac mode before it is known who that
// is. Nothing has been done for it yet, so its connection may go for another one too;
// what it holds for certain is its bytes of the body memory.
func (s *Server) stepAside(r *request) {
	if r.admitted {
		s.conns.await(r.conn)
		s.requests.release(1)
		r.admitted, r.stepped = false, true
	}
}

// stepBack takes a place again, or refuses with 503.
func (s *Server) stepBack(r *request) error {
	if !r.stepped {
		return nil
	}
	r.stepped = false
	if !s.conns.begin(r.conn) {
		return errGone
	}
	if !s.requests.acquire(1) {
		return s.requestsRefusal()
	}
	r.admitted = true
	return nil
}

func (s *Server) requestsRefusal() error {
	s.metrics.refused.WithLabelValues(SettingMaxRequests).Inc()
	return leadevents.Errorf(leadevents.Unavailable,
		"the server is handling %d requests already (%s); send this one again", s.cfg.MaxRequests, SettingMaxRequests)
}

func (s *Server) release(r *request) {
	if r.admitted {
		s.requests.release(1)
	}
	*r = request{}
	requestPool.Put(r)
}

// boundedLines is what bounds the lines of a status; nil if nothing does.
func (s *Server) boundedLines(status int) *refusals {
	switch status {
	case fasthttp.StatusServiceUnavailable:
		return s.refusals
	case fasthttp.StatusTooManyRequests:
		return s.limited
	}
	return nil
}

// log writes the request's one line; of 503s and 429s only so many a second. The route is its pattern, never the path:
// /leads/{phone} holds a phone, and query strings do too.
func (s *Server) log(ctx *fasthttp.RequestCtx, r *request, method string, status, bytesOut int, elapsed time.Duration) {
	level := slog.LevelInfo
	switch {
	case status == fasthttp.StatusServiceUnavailable:
		level = slog.LevelWarn
	case status >= fasthttp.StatusInternalServerError:
		level = slog.LevelError
	}
	if !s.logger.Enabled(s.base, level) {
		return
	}
	unlogged := int64(0)
	if bounded := s.boundedLines(status); bounded != nil {
		var ok bool
		if unlogged, ok = bounded.admit(); !ok {
			return
		}
	}
	attrs := make([]slog.Attr, 0, 13)
	attrs = append(attrs,
		slog.String("method", method),
		slog.String("route", r.route),
		slog.Int("status", status),
		slog.Int64("bytesIn", r.bytesIn),
		slog.Int("bytesOut", bytesOut),
		slog.Duration("duration", elapsed),
		slog.String("requestId", r.id),
		slog.String("client", s.clientAddress(ctx).String()),
	)
	if r.org != 0 {
		attrs = append(attrs, slog.Uint64("organization", uint64(r.org)))
	}
	if r.code != "" {
		attrs = append(attrs, slog.String("code", r.code))
	}
	if r.cause != nil {
		attrs = append(attrs, slog.String("error", r.cause.Error()))
	}
	if r.stack != nil {
		attrs = append(attrs, slog.String("stack", strings.TrimSpace(string(r.stack))))
	}
	if unlogged > 0 {
		attrs = append(attrs, slog.Int64("unlogged", unlogged)) // of those before it
	}
	s.logger.LogAttrs(s.base, level, "request", attrs...)
}
