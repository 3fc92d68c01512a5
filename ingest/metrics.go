package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	rows        *prometheus.CounterVec // by outcome
	rejects     *prometheus.CounterVec // by reason
	steps       *prometheus.HistogramVec
	groups      prometheus.Histogram
	refused     prometheus.Counter
	paced       prometheus.Counter
	resends     prometheus.Counter
	contested   prometheus.Counter
	coldChecked prometheus.Counter
	orphans     prometheus.Counter
	statesAdded prometheus.Counter
	ledgerHits  prometheus.Counter
	unanswered  prometheus.Counter

	historicalWaited prometheus.Counter
	conflicts        prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, in *Ingester) metrics {
	m := metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "leadevents_ingest_rows_total",
			Help: "Rows of answered calls, by outcome: inserted, duplicate or rejected."}, []string{"outcome"}),
		rejects: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "leadevents_ingest_rejects_total",
			Help: "Rejected rows by reason."}, []string{"reason"}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "leadevents_ingest_step_seconds",
			Help:    "Time of each step of a group: decode, peek, cold_check, insert, seal, conflicts, receipt.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"step"}),
		groups: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "leadevents_ingest_group_calls",
			Help: "Calls that were stored together.", Buckets: prometheus.ExponentialBuckets(1, 2, 13)}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ingest_refused_total",
			Help: "Calls refused because a queue was full."}),
		paced: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ingest_paced_seconds_total",
			Help: "Time that groups waited because of ingest.max_parts_per_second."}),
		resends: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ingest_insert_resends_total",
			Help: "Inserts sent again because their outcome was unknown."}),
		contested: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ingest_contested_total",
			Help: "Keys that two calls stored and one sealed."}),
		orphans: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ingest_orphans_total",
			Help: "Keys that were sealed for the batch whose row was found: their own request may have died while the ledger was rebuilt."}),
		statesAdded: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ingest_states_added_total",
			Help: "Duplicates whose state was added: the insert of their row may have ended before it."}),
		coldChecked: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ingest_cold_checked_total",
			Help: "Keys that were looked up in ClickHouse before they were stored."}),
		ledgerHits: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ledger_hits_total",
			Help: "Keys that the ledger knew: duplicates decided without ClickHouse."}),
		historicalWaited: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ingest_historical_waited_seconds_total",
			Help: "Time that big calls of a backfill waited because of ingest.historical_lanes."}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ingest_conflicts_total",
			Help: "Duplicates of answered calls whose metadata is not what is stored (ingest.conflicts)."}),
		unanswered: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ingest_failed_calls_total",
			Help: "Calls that ended in an error."}),
	}
	reg.MustRegister(m.rows, m.rejects, m.steps, m.groups, m.refused, m.paced, m.resends, m.contested, m.coldChecked, m.orphans, m.statesAdded, m.ledgerHits, m.unanswered, m.historicalWaited, m.conflicts,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "leadevents_ingest_queue_calls", Help: "Small calls that wait for a group."},
			func() float64 { return float64(len(in.small.queue) + len(in.once.queue)) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "leadevents_ingest_bulk_calls", Help: "Big calls that run or wait."},
			func() float64 { return float64(len(in.bulk)) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "leadevents_ingest_historical_calls", Help: "Big calls of a backfill that run or wait."},
			func() float64 { return float64(len(in.historical.calls)) }))
	for _, outcome := range []string{"inserted", "duplicate", "rejected"} {
		m.rows.WithLabelValues(outcome)
	}
	for _, reason := range Reasons() {
		m.rejects.WithLabelValues(reason)
	}
	return m
}

// step starts the clock of a step; the returned function stops it.
func (m *metrics) step(name string) func() {
	started := time.Now()
	return func() { m.steps.WithLabelValues(name).Observe(time.Since(started).Seconds()) }
}

// count counts an ended call.
func (m *metrics) count(result Result, call *Call, err error) {
	if err != nil {
		m.unanswered.Inc()
		return
	}
	if call.DryRun {
		return
	}
	m.rows.WithLabelValues("inserted").Add(float64(result.Inserted))
	m.rows.WithLabelValues("duplicate").Add(float64(result.Duplicates))
	m.rows.WithLabelValues("rejected").Add(float64(result.Rejected))
	if result.Conflicts != nil {
		m.conflicts.Add(float64(result.Conflicts.Count))
	}
	for _, reject := range call.Rejects {
		m.rejects.WithLabelValues(reject.Reason).Inc()
	}
}
