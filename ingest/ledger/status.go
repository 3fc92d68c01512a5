package ledger

import (
	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
)

// Status is the ledger's health for /readyz and `check`.
type Status struct {
	State  State             `json:"state"`
	Reason string            `json:"reason,omitempty"` // why it is not trusted
	Since  leadevents.Millis `json:"-"`
	Epoch  string            `json:"epoch,omitempty"`
	// LastReason is why it was suspect the last time, also when that is over.
	LastReason string `json:"lastReason,omitempty"`
	// RebuiltKeys, Slice and Slices say how far a rebuild by this process has come.
	RebuiltKeys int64 `json:"rebuiltKeys,omitempty"`
	Slice       int64 `json:"slice,omitempty"`
	Slices      int64 `json:"slices,omitempty"`
}

// Status is the state as of the last look; Suspect before the first.
func (l *Ledger) Status() Status {
	t := l.trust.Load()
	if t == nil {
		return Status{State: Suspect, Reason: "the stores have not been examined yet"}
	}
	s := Status{State: t.State, Reason: t.Reason, Since: t.At, Epoch: t.Epoch, LastReason: t.Reason}
	if t.State == Trusted {
		s.Reason, s.Since = "", t.Since
		return s
	}
	s.RebuiltKeys, s.Slice, s.Slices = l.progress.keys.Load(), l.progress.slice.Load(), l.progress.slices.Load()
	return s
}

type metrics struct {
	suspicions prometheus.Counter
	rebuilt    prometheus.Counter
	skew       prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, l *Ledger) metrics {
	m := metrics{
		suspicions: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ledger_suspicions_total", Help: "Times this process declared the ledger suspect."}),
		rebuilt:    prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_ledger_rebuilt_keys_total", Help: "Keys this process set again from ClickHouse."}),
		skew:       prometheus.NewGauge(prometheus.GaugeOpts{Name: "leadevents_store_clock_skew_seconds", Help: "Redis' clock minus ClickHouse's."}),
	}
	reg.MustRegister(m.suspicions, m.rebuilt, m.skew)
	for _, state := range []State{Trusted, Suspect, Rebuilding} {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "leadevents_ledger_state", Help: "1 for the state the ledger is in.",
			ConstLabels: prometheus.Labels{"state": string(state)},
		}, func() float64 {
			if l.Status().State == state {
				return 1
			}
			return 0
		}))
	}
	return m
}
