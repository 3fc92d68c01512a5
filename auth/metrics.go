package auth

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	refreshes  *prometheus.CounterVec
	keys       prometheus.Gauge
	unreadable prometheus.Gauge
	refusals   struct{ missing, key, signature, timestamp, mode, scope, unavailable prometheus.Counter }
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leadevents_auth_refreshes_total",
			Help: "Times the store was asked for changed credentials, by result (unchanged, loaded, failed).",
		}, []string{"result"}),
		keys: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leadevents_auth_api_keys",
			Help: "API keys in memory, revoked ones included.",
		}),
		unreadable: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leadevents_auth_unreadable_signing_keys",
			Help: "Active signing keys that no master key of the settings decrypts.",
		}),
	}
	refusals := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "leadevents_auth_refusals_total",
		Help: "Requests refused, by reason (missing, key, signature, timestamp, mode, scope, unavailable).",
	}, []string{"reason"})
	m.refusals.missing = refusals.WithLabelValues("missing")
	m.refusals.key = refusals.WithLabelValues("key")
	m.refusals.signature = refusals.WithLabelValues("signature")
	m.refusals.timestamp = refusals.WithLabelValues("timestamp")
	m.refusals.mode = refusals.WithLabelValues("mode")
	m.refusals.scope = refusals.WithLabelValues("scope")
	m.refusals.unavailable = refusals.WithLabelValues("unavailable")
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.refreshes, m.keys, m.unreadable, refusals} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
