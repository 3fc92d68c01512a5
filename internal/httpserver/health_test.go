package httpserver

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestReadyz(t *testing.T) {
	ready := func(context.Context) Readiness { return Readiness{OK: true} }
	rebuilding := func(context.Context) Readiness {
		return Readiness{OK: true, Detail: map[string]any{"state": "rebuilding", "done": 0.5}}
	}
	down := func(context.Context) Readiness {
		return Readiness{Detail: map[string]string{"error": "connection refused"}}
	}
	slow := func(ctx context.Context) Readiness {
		<-ctx.Done()
		return Readiness{Detail: map[string]string{"error": ctx.Err().Error()}}
	}
	deaf := make(chan struct{})
	defer close(deaf)
	ignoring := func(context.Context) Readiness { <-deaf; return Readiness{OK: true} }
	type checks = map[string]func(context.Context) Readiness
	tests := []struct {
		name   string
		checks checks
		status int
		want   string
		failed string
	}{
		{"without checks", nil, 200, `{"status":"ready","checks":{}}`, ""},
		{"all ready", checks{"clickhouse": ready, "redis": ready}, 200,
			`{"status":"ready","checks":{"clickhouse":{"ok":true},"redis":{"ok":true}}}`, ""},
		{"a state worth knowing is shown", checks{"ledger": rebuilding}, 200,
			`{"status":"ready","checks":{"ledger":{"ok":true,"detail":{"state":"rebuilding","done":0.5}}}}`, ""},
		{"one is down", checks{"clickhouse": down, "redis": ready}, 503,
			`{"status":"not ready","checks":{"clickhouse":{"ok":false,"detail":{"error":"connection refused"}},"redis":{"ok":true}}}`, "clickhouse"},
		{"two are too slow", checks{"clickhouse": slow, "redis": slow}, 503,
			`{"status":"not ready","checks":{"clickhouse":{"ok":false,"detail":{"error":"context deadline exceeded"}},"redis":{"ok":false,"detail":{"error":"context deadline exceeded"}}}}`, "clickhouse, redis"},
		{"two ignore their deadline", checks{"a": ignoring, "b": ignoring, "c": ready}, 503,
			`{"status":"not ready","checks":{"a":{"ok":false,"detail":{"error":"no answer within 50ms"}},"b":{"ok":false,"detail":{"error":"no answer within 50ms"}},"c":{"ok":true}}}`, "a, b"},
		{"one panics", checks{"a": func(context.Context) Readiness { panic("boom") }}, 503,
			`{"status":"not ready","checks":{"a":{"ok":false,"detail":{"error":"the check panicked: boom"}}}}`, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, func(c *Config) { c.ReadinessTimeout = 50 * time.Millisecond }, func(s *Server) {
				for name, check := range tt.checks {
					s.AddReadiness(name, check)
				}
			})
			a := f.send(t, "GET", "/readyz", nil)
			if a.status != tt.status {
				t.Errorf("status %d: %s", a.status, a.body)
			}
			if tt.status == 503 {
				code, message := a.code(t)
				if code != "unavailable" || message != "not ready: "+tt.failed || a.header.Get("Retry-After") != "1" {
					t.Errorf("%s %q %v", code, message, a.header)
				}
			}
			var got, want map[string]any
			if err := json.Unmarshal([]byte(a.body), &got); err != nil {
				t.Fatal(err)
			}
			delete(got, "error")
			if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(tt.name, "ignore") {
				f.stopped = true
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				if err := f.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "does not end") {
					t.Errorf("Shutdown with a deaf check: %v", err)
				}
				<-f.served
			}
		})
	}
}

func TestReadinessChecksRunOnceAtATime(t *testing.T) {
	var running, runs atomic.Int32
	leave := make(chan struct{})
	f := start(t, nil, func(s *Server) {
		s.AddReadiness("store", func(context.Context) Readiness {
			if running.Add(1) > 1 {
				t.Error("two at a time")
			}
			runs.Add(1)
			<-leave
			running.Add(-1)
			return Readiness{OK: true}
		})
	})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if a := f.send(t, "GET", "/readyz", nil); a.status != 200 {
				t.Errorf("status %d", a.status)
			}
		})
	}
	eventually(t, "all are being handled", func() bool {
		return testutil.ToFloat64(f.metrics.inFlight) == 20 && runs.Load() > 0
	})
	if n := runs.Load(); n != 1 {
		t.Errorf("20 requests at once ran the check %d times", n)
	}
	close(leave)
	wg.Wait()
}

func TestMetrics(t *testing.T) {
	f := start(t, nil, func(s *Server) {
		s.App().Post("/leads/:phone", func(c *fiber.Ctx) error {
			b, err := ReadBody(c, 100)
			if err != nil {
				return err
			}
			defer b.Release()
			return c.SendString("ok")
		})
	})
	f.send(t, "POST", "/leads/+15551234567", strings.NewReader("12345"))
	f.send(t, "POST", "/leads/+15557654321", strings.NewReader("12345"))
	f.send(t, "POST", "/leads/+15551234567", strings.NewReader(strings.Repeat("x", 101)))
	f.send(t, "GET", "/nothing/1", nil)
	f.send(t, "BREW", "/nothing/2", nil)
	a := f.send(t, "GET", "/metrics", nil)
	for _, want := range []string{
		`leadevents_http_requests_total{method="POST",route="/leads/:phone",status="2xx"} 2`,
		`leadevents_http_requests_total{method="POST",route="/leads/:phone",status="4xx"} 1`,
		`leadevents_http_requests_total{method="GET",route="none",status="4xx"} 1`,
		`leadevents_http_requests_total{method="other",route="none",status="4xx"} 1`,
		`leadevents_http_request_duration_seconds_count{method="POST",route="/leads/:phone"} 3`,
		`leadevents_http_body_bytes_total{direction="in"} 10`,
		`leadevents_http_requests_in_flight 1`,
		`leadevents_http_body_memory_bytes 0`,
		`leadevents_http_connections 1`,
		`leadevents_http_refused_total{setting="http.max_requests"} 0`,
	} {
		if !strings.Contains(a.body, want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if strings.Contains(a.body, "1555") {
		t.Error("a phone became a label")
	}
	if ct := a.header.Get("Content-Type"); !strings.HasPrefix(ct, "text/plain; version=0.0.4") {
		t.Errorf("Content-Type %q", ct)
	}
	a = f.send(t, "GET", "/metrics", nil, "Accept: application/openmetrics-text;version=1.0.0")
	if !strings.HasPrefix(a.header.Get("Content-Type"), "application/openmetrics-text") || !strings.HasSuffix(a.body, "# EOF\n") {
		t.Errorf("OpenMetrics: %q", a.header.Get("Content-Type"))
	}
	t.Run("a collector that fails does not hide the others", func(t *testing.T) {
		f.registry.MustRegister(brokenCollector{})
		a := f.send(t, "GET", "/metrics", nil)
		if a.status != 200 || !strings.Contains(a.body, "leadevents_http_requests_in_flight") {
			t.Errorf("%d %s", a.status, a.body)
		}
		if len(f.log.lines(t, "gather metrics")) != 1 {
			t.Error("not logged")
		}
	})
	t.Run("a second server needs a registry of its own", func(t *testing.T) {
		if _, err := New(DefaultConfig(), f.logger, f.registry, f.registry); err == nil {
			t.Error("registered twice")
		}
	})
}

type brokenCollector struct{}

var brokenDesc = prometheus.NewDesc("broken", "", nil, nil)

func (brokenCollector) Describe(ch chan<- *prometheus.Desc) { ch <- brokenDesc }
func (brokenCollector) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(brokenDesc, errors.New("broken"))
}
