package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// Server is one HTTP server: make it with [New], register handlers on
// [Server.App], then [Server.Serve], then [Server.Shutdown].
type Server struct {
	cfg          Config
	logger       *slog.Logger
	metrics      *metrics
	gatherer     prometheus.Gatherer
	app          *fiber.App
	fiberHandler fasthttp.RequestHandler

	// base ends when the server is stopped by force, or has stopped.
	base     context.Context
	stopBase context.CancelFunc

	requests quota // requests being handled
	memory   quota // bytes of bodies held
	buffers  buffers
	decoders *decoders
	conns    *connections
	refusals *refusals // of 503s
	limited  *refusals // of 429s: an organization above its limits hides no dead store

	checksMu sync.Mutex
	checks   []*readinessCheck
}

// New makes a server with /livez, /readyz, /metrics and /api/v1/openapi.yaml
// on it; it does not listen yet.
func New(cfg Config, logger *slog.Logger, reg prometheus.Registerer, gatherer prometheus.Gatherer) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure the HTTP server: %w", err)
	}
	s := &Server{
		cfg:      cfg,
		logger:   logger,
		gatherer: gatherer,
		requests: quota{max: int64(cfg.MaxRequests)},
		memory:   quota{max: cfg.MaxBodyMemory},
		decoders: newDecoders(),
		refusals: newRefusals(),
		limited:  newRefusals(),
	}
	s.base, s.stopBase = context.WithCancel(context.Background())
	s.conns = newConnections(s)
	m, err := newMetrics(reg, s)
	if err != nil {
		return nil, fmt.Errorf("register the HTTP server's metrics: %w", err)
	}
	s.metrics = m

	s.app = fiber.New(fiber.Config{
		DisableStartupMessage: true,
		CaseSensitive:         true,
		ReadBufferSize:        cfg.MaxHeaderBytes,
		ReadTimeout:           cfg.HeaderTimeout, // HeaderReceived sets the body's
		IdleTimeout:           cfg.IdleTimeout,
		// One more than we admit ourselves, with room for those that are just
		// closing: fasthttp's own refusal is plain text.
		Concurrency:       2*cfg.MaxConnections + 64,
		StreamRequestBody: true,
		// fasthttp reads min(BodyLimit, 8 KiB, Content-Length) of a body before
		// it calls the handler. One byte: a client that has sent part of a
		// body and waits must get its 413 or 401 now. The limits are ours.
		BodyLimit:                    1,
		DisablePreParseMultipartForm: true,
		DisableDefaultContentType:    true,
		JSONEncoder:                  marshal,
		JSONDecoder:                  func(b []byte, v any) error { return json.Unmarshal(b, v) },
		ErrorHandler:                 Fail,
	})
	server := s.app.Server()
	s.fiberHandler = s.app.Handler()
	server.Handler = s.handle
	server.ExpectHandler = s.expect
	server.ErrorHandler = s.beforeRouting
	server.HeaderReceived = s.headerReceived
	server.ConnState = s.conns.state
	server.CloseOnShutdown = true
	server.SecureErrorLogMessage = true
	server.Logger = fasthttpLogger{logger}
	s.app.Use(s.around)
	s.registerOwn()
	return s, nil
}

// App is where handlers register their routes, before Serve.
func (s *Server) App() *fiber.App { return s.app }

// headerReceived replaces the header's deadline by the body's.
func (s *Server) headerReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	var rc fasthttp.RequestConfig
	if n := h.ContentLength(); n > 0 || n == -1 {
		rc.ReadTimeout = s.cfg.BodyTimeout
	}
	return rc
}

// Serve accepts connections on ln until Shutdown, then returns nil; any other
// end is an error. It closes ln.
func (s *Server) Serve(ln net.Listener) error {
	s.app.Handler() // builds the routing tree of what was registered
	if err := s.app.Server().Serve(s.conns.listen(ln)); err != nil {
		return fmt.Errorf("serve HTTP on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown stops accepting, closes idle connections at once and waits until
// every request in flight is answered. When ctx ends first, the connections
// left are closed, the handlers' [Context] ends, and the error says how many
// requests were cut off. It is called once; a Serve that
// starts afterwards returns at once.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.stopBase()
	s.conns.stop()
	err := s.app.Server().ShutdownWithContext(ctx)
	if err == nil {
		err = s.conns.wait(ctx)
	}
	if err == nil {
		return s.waitChecks(ctx)
	}
	inFlight := s.conns.inHandlers()
	// In this order: a handler whose context ends answers something, and no
	// client may take that for what became of its request.
	s.conns.closeAll()
	s.stopBase()
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("shut down the HTTP server: %w", err)
	}
	return fmt.Errorf("shut down the HTTP server: %d requests were still in flight and cut off: %w", inFlight, err)
}

// Route is one method and path pattern, as registered ("/api/v1/sends/:sendId").
type Route struct{ Method, Path string }

// OpenAPIPath is the path as OpenAPI spells it ("/api/v1/sends/{sendId}").
func (r Route) OpenAPIPath() string {
	parts := strings.Split(r.Path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, ":") {
			parts[i] = "{" + p[1:] + "}"
		}
	}
	return strings.Join(parts, "/")
}

// Routes lists what is registered, ordered by path and method. HEAD, which
// every GET has too, is left out.
func (s *Server) Routes() []Route {
	var routes []Route
	for _, r := range s.app.GetRoutes(true) {
		if r.Method != fiber.MethodHead {
			routes = append(routes, Route{Method: r.Method, Path: r.Path})
		}
	}
	slices.SortFunc(routes, func(a, b Route) int {
		return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
	})
	return slices.Compact(routes)
}

// quota is a counting limit that never waits.
type quota struct {
	mu   sync.Mutex
	used int64
	max  int64
}

func (q *quota) acquire(n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used+n > q.max {
		return false
	}
	q.used += n
	return true
}

func (q *quota) release(n int64) {
	q.mu.Lock()
	q.used -= n
	q.mu.Unlock()
}

func (q *quota) inUse() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.used
}

// fasthttpLogger keeps fasthttp's own messages, which may quote a client's
// bytes, at debug level.
type fasthttpLogger struct{ *slog.Logger }

// Printf implements fasthttp.Logger.
func (l fasthttpLogger) Printf(format string, args ...any) {
	l.Debug("fasthttp", "message", fmt.Sprintf(format, args...))
}

// lingerIdle is how long a lingering connection may go without a byte.
func (s *Server) lingerIdle() time.Duration { return min(s.cfg.LingerTimeout, 5*time.Second) }

// marshal writes an answer: the same one for the same question, to the byte. Stored metadata goes out as it came in, whatever JSON
// allows in it: names that stand twice, and escaped halves of surrogate pairs.
func marshal(v any) ([]byte, error) {
	return json.Marshal(v, json.Deterministic(true), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsontext.PreserveRawStrings(true))
}
