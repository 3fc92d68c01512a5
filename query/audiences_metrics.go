package query

import (
	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
)

type audienceMetrics struct {
	uploads *prometheus.CounterVec // by outcome
	rows    *prometheus.CounterVec // by outcome
	full    prometheus.Counter
	merges  prometheus.Counter
}

func newAudienceMetrics(reg prometheus.Registerer, a *Audiences) audienceMetrics {
	m := audienceMetrics{
		uploads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "leadevents_audience_uploads_total",
			Help: "Uploads of audiences by outcome: done, refused (the client's fault) or failed."}, []string{"outcome"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "leadevents_audience_rows_total",
			Help: "Rows of uploads that were done, by outcome: stored, duplicate or rejected."}, []string{"outcome"}),
		full: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_audience_uploads_full_total",
			Help: "Uploads refused because audiences.max_uploads were running."}),
		merges: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_audience_merges_total",
			Help: "Merges of an audience's layers."}),
	}
	reg.MustRegister(m.uploads, m.rows, m.full, m.merges,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "leadevents_audience_uploads_running", Help: "Uploads that are running."},
			func() float64 { return float64(len(a.places)) }))
	for _, outcome := range []string{"done", "refused", "failed"} {
		m.uploads.WithLabelValues(outcome)
	}
	for _, outcome := range []string{"stored", "duplicate", "rejected"} {
		m.rows.WithLabelValues(outcome)
	}
	return m
}

// count counts an ended upload.
func (m *audienceMetrics) count(result Uploaded, err error) {
	switch {
	case err == nil:
		m.uploads.WithLabelValues("done").Inc()
		m.rows.WithLabelValues("stored").Add(float64(result.Stored))
		m.rows.WithLabelValues("duplicate").Add(float64(result.Duplicates))
		m.rows.WithLabelValues("rejected").Add(float64(result.Rejected))
	case leadevents.KindOf(err) == leadevents.Unavailable, leadevents.KindOf(err) == leadevents.Internal:
		m.uploads.WithLabelValues("failed").Inc()
	default:
		m.uploads.WithLabelValues("refused").Inc()
	}
}
