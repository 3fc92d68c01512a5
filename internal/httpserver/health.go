package httpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/common/expfmt"
	"github.com/valyala/fasthttp"

	"leadevents"
)

// The server's own paths.
const (
	pathLivez   = "/livez"
	pathReadyz  = "/readyz"
	pathMetrics = "/metrics"
	pathOpenAPI = "/api/v1/openapi.yaml"
)

// Readiness is what one check found.
type Readiness struct {
	// OK says that requests can be answered as far as this part goes.
	OK bool
	// Detail is shown in either case, as JSON: why it fails, or a state worth
	// knowing though it works (a ledger that is rebuilding). No secrets.
	Detail any
}

// readinessCheck runs at most once at a time: callers that come meanwhile
// share the run, so /readyz cannot be used to load a store.
type readinessCheck struct {
	name  string
	check func(context.Context) Readiness

	mu      sync.Mutex
	running *checkRun
}

type checkRun struct {
	done   chan struct{}
	result Readiness
}

// wait gives the run's result; false if it has none when ctx ends.
func (run *checkRun) wait(ctx context.Context) (Readiness, bool) {
	select {
	case <-run.done:
		return run.result, true
	case <-ctx.Done():
	}
	select { // both may have been ready
	case <-run.done:
		return run.result, true
	default:
		return Readiness{}, false
	}
}

// AddReadiness makes /readyz run check, which should heed its context, and
// show its result under name. Call it before Serve.
func (s *Server) AddReadiness(name string, check func(ctx context.Context) Readiness) {
	s.checksMu.Lock()
	defer s.checksMu.Unlock()
	s.checks = append(s.checks, &readinessCheck{name: name, check: check})
}

// start gives the run in progress, or a new one.
func (rc *readinessCheck) start(base context.Context, timeout time.Duration) *checkRun {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if rc.running != nil {
		return rc.running
	}
	run := &checkRun{done: make(chan struct{})}
	rc.running = run
	go func() {
		ctx, cancel := context.WithTimeout(base, timeout)
		defer cancel()
		run.result = rc.guarded(ctx)
		rc.mu.Lock()
		rc.running = nil
		rc.mu.Unlock()
		close(run.done)
	}()
	return run
}

func (rc *readinessCheck) guarded(ctx context.Context) (result Readiness) {
	defer func() {
		if v := recover(); v != nil {
			result = Readiness{Detail: map[string]string{"error": fmt.Sprintf("the check panicked: %v", v)}}
		}
	}()
	return rc.check(ctx)
}

// waitChecks waits for runs in progress at shutdown.
func (s *Server) waitChecks(ctx context.Context) error {
	s.stopBase()
	for _, rc := range s.checks {
		rc.mu.Lock()
		run := rc.running
		rc.mu.Unlock()
		if run == nil {
			continue
		}
		if _, ended := run.wait(ctx); !ended {
			return fmt.Errorf("shut down the HTTP server: the readiness check of %s does not end: %w", rc.name, ctx.Err())
		}
	}
	return nil
}

func (s *Server) registerOwn() {
	s.app.Get(pathLivez, func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		return c.SendString(`{"status":"ok"}`)
	})
	s.app.Get(pathReadyz, s.readyz)
	s.app.Get(pathMetrics, s.serveMetrics)
	if len(s.cfg.OpenAPI) > 0 {
		s.app.Get(pathOpenAPI, func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderContentType, "application/yaml; charset=utf-8")
			c.Context().Response.SetBodyRaw(s.cfg.OpenAPI)
			return nil
		})
	}
}

type checkJSON struct {
	OK     bool `json:"ok"`
	Detail any  `json:"detail,omitempty"`
}

type readyzJSON struct {
	Status string               `json:"status"`
	Checks map[string]checkJSON `json:"checks"`
	Error  *errorJSON           `json:"error,omitempty"`
}

// readyz answers 200 when every check is OK, else 503 naming those that fail.
func (s *Server) readyz(c *fiber.Ctx) error {
	runs := make(map[string]*checkRun, len(s.checks))
	for _, rc := range s.checks {
		runs[rc.name] = rc.start(s.base, s.cfg.ReadinessTimeout)
	}
	// A check that ignores its context must not hold the answer up.
	ctx, cancel := context.WithTimeout(s.base, s.cfg.ReadinessTimeout+100*time.Millisecond)
	defer cancel()

	answer := readyzJSON{Status: "ready", Checks: make(map[string]checkJSON, len(runs))}
	var failing []string
	for _, name := range slices.Sorted(maps.Keys(runs)) {
		result, ended := runs[name].wait(ctx)
		if !ended {
			result.Detail = map[string]string{"error": fmt.Sprintf("no answer within %s", s.cfg.ReadinessTimeout)}
		}
		answer.Checks[name] = checkJSON(result)
		if !result.OK {
			failing = append(failing, name)
		}
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	if len(failing) > 0 {
		message := fmt.Sprintf("not ready: %s", strings.Join(failing, ", "))
		r := requestOf(c.Context())
		r.code, r.cause = leadevents.Unavailable.Code(), fmt.Errorf("%s", message)
		answer.Status = "not ready"
		answer.Error = &errorJSON{Code: leadevents.Unavailable.Code(), Message: message, RequestID: r.id}
		c.Status(fasthttp.StatusServiceUnavailable)
		c.Set(fiber.HeaderRetryAfter, "1")
	}
	b, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode the answer of /readyz: %w", err)
	}
	return c.Send(b)
}

// serveMetrics writes what the gatherer has, in the format the scraper asks for.
func (s *Server) serveMetrics(c *fiber.Ctx) error {
	families, err := s.gatherer.Gather()
	if err != nil && len(families) == 0 {
		return fmt.Errorf("gather metrics: %w", err)
	}
	if err != nil { // part of it is better than nothing
		s.logger.Error("gather metrics", "error", err)
	}
	format := expfmt.NegotiateAccept(map[string][]string{"Accept": {c.Get(fiber.HeaderAccept)}}, expfmt.DefaultOpenMetricsAcceptedFormats()...)
	var out bytes.Buffer
	enc := expfmt.NewEncoder(&out, format)
	for _, family := range families {
		if err := enc.Encode(family); err != nil {
			return fmt.Errorf("encode the metric %s: %w", family.GetName(), err)
		}
	}
	if closer, ok := enc.(expfmt.Closer); ok {
		if err := closer.Close(); err != nil {
			return fmt.Errorf("encode metrics: %w", err)
		}
	}
	c.Set(fiber.HeaderContentType, string(format))
	c.Context().Response.SetBodyRaw(out.Bytes())
	return nil
}
