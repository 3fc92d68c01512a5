package notify

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	announced, unannounced, heard prometheus.Counter
	connected                     prometheus.Gauge
}

// newMetrics makes them; reg may be nil.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	announcements := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "leadevents_notify_announcements_total",
		Help: "Changes of credentials announced to other servers through Redis, by result (ok, failed).",
	}, []string{"result"})
	m := &metrics{
		announced: announcements.WithLabelValues("ok"), unannounced: announcements.WithLabelValues("failed"),
		heard: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leadevents_notify_heard_total",
			Help: "Announcements heard, those of this server included.",
		}),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leadevents_notify_connected",
			Help: "1 while announcements of other servers are heard; without them changes are found by polling.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{announcements, m.heard, m.connected} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
