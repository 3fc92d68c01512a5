package httpserver

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the server's own figures. Labels are bounded: routes are
// patterns, methods those that Fiber knows, statuses five classes.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	refused  *prometheus.CounterVec
	evicted  prometheus.Counter
	inFlight prometheus.Gauge
	panics   prometheus.Counter
	bytesIn  prometheus.Counter
	bytesOut prometheus.Counter

	// series caches what the label lookups of one (method, route) give: they
	// cost a hash and a lock each, four times a request.
	mu     sync.Mutex
	series atomic.Pointer[map[seriesKey]*series]
}

type seriesKey struct{ method, route string }

type series struct {
	classes  [6]prometheus.Counter // by status / 100
	duration prometheus.Observer
}

var statusClasses = [6]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

func newMetrics(reg prometheus.Registerer, s *Server) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leadevents_http_requests_total",
			Help: "Requests answered, by method, route pattern and status class.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "leadevents_http_request_duration_seconds",
			Help:    "From the request's headers to its answer (a streamed answer: to its start).",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leadevents_http_body_bytes_total",
			Help: "Bytes of bodies: of requests as sent (in), of answers that are not streamed (out).",
		}, []string{"direction"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leadevents_http_refused_total",
			Help: "Requests and connections answered 503 by a limit, by the setting that raises it.",
		}, []string{"setting"}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leadevents_http_connections_evicted_total",
			Help: "Connections without a request that were closed to make room for new ones (http.max_connections).",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leadevents_http_requests_in_flight",
			Help: "Requests being handled.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leadevents_http_panics_total",
			Help: "Handlers that panicked; each was answered 500.",
		}),
	}
	for _, setting := range []string{SettingMaxBodyMemory, SettingMaxConnections, SettingMaxRequests} {
		m.refused.WithLabelValues(setting)
	}
	m.bytesIn, m.bytesOut = m.bytes.WithLabelValues("in"), m.bytes.WithLabelValues("out")
	m.series.Store(&map[seriesKey]*series{})
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	collectors := []prometheus.Collector{
		m.requests, m.duration, m.bytes, m.refused, m.evicted, m.inFlight, m.panics,
		gauge("leadevents_http_body_memory_bytes", "Bytes of request bodies held in memory.", func() float64 { return float64(s.memory.inUse()) }),
		gauge("leadevents_http_connections", "Open connections.", func() float64 { open, _ := s.conns.counts(); return float64(open) }),
		gauge("leadevents_http_lingering_connections", "Connections answered whose client is still sending.", func() float64 {
			_, lingering := s.conns.counts()
			return float64(lingering)
		}),
	}
	if cert := s.cfg.Certificate; cert != nil {
		collectors = append(collectors, gauge("leadevents_http_tls_certificate_expiry_timestamp_seconds",
			"When the TLS certificate in use expires.", func() float64 { return float64(cert.NotAfter().Unix()) }))
	}
	for _, c := range collectors {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(method, route string, status int, elapsed time.Duration, in int64, out int) {
	key := seriesKey{method, route}
	s, ok := (*m.series.Load())[key]
	if !ok {
		s = m.add(key)
	}
	class := status / 100
	if class >= len(s.classes) {
		class = 0
	}
	s.classes[class].Inc()
	s.duration.Observe(elapsed.Seconds())
	if in > 0 {
		m.bytesIn.Add(float64(in))
	}
	if out > 0 {
		m.bytesOut.Add(float64(out))
	}
}

// add makes the series of a key, once: routes and methods are few.
func (m *metrics) add(key seriesKey) *series {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.series.Load()
	if s, ok := old[key]; ok {
		return s
	}
	label := key.route
	if label == "" {
		label = "none"
	}
	s := &series{duration: m.duration.WithLabelValues(key.method, label)}
	for i, class := range statusClasses {
		s.classes[i] = m.requests.WithLabelValues(key.method, label, class)
	}
	grown := maps.Clone(old)
	grown[key] = s
	m.series.Store(&grown)
	return s
}

// methodLabel is the method as a string that outlives the request; methods
// that no route can have are one.
func methodLabel(method []byte) string {
	switch string(method) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "PATCH":
		return "PATCH"
	case "OPTIONS":
		return "OPTIONS"
	}
	return "other"
}
