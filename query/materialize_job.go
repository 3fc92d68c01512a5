package query

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents/query/audience"
)

// job is a run that this process has claimed.
type job struct {
	send       audience.SendRef
	claim      audience.SendEntry
	definition *audience.Definition
	list       *audience.ListFilter
	ended      chan struct{} // closed when nothing more happens here

	mu    sync.Mutex // held while the lease is written: a renewal must not come after the end
	lease audience.Lease

	progressMu  sync.Mutex
	done, parts int
}

func newJob(ref audience.SendRef, claim audience.SendEntry) *job {
	return &job{send: ref, claim: claim, ended: make(chan struct{}), lease: audience.Lease{Send: ref, Run: claim.ID}}
}

func (j *job) run() uint64 { return j.claim.ID }

// advance is told how many parts are done.
func (j *job) advance(done, of int) {
	j.progressMu.Lock()
	j.done, j.parts = done, of
	j.progressMu.Unlock()
}

func (j *job) progress() (done, parts int) {
	j.progressMu.Lock()
	defer j.progressMu.Unlock()
	return j.done, j.parts
}

// renew has the lease hold for d from now on, unless it has ended.
func (j *job) renew(ctx context.Context, store SendStore, d time.Duration) error {
	return renewAll(ctx, store, d, []*job{j})
}

// renewAll is renew of many, in one insert.
func renewAll(ctx context.Context, store SendStore, d time.Duration, jobs []*job) error {
	// Always in the same order: two renewals must not wait for each other.
	slices.SortFunc(jobs, func(a, b *job) int { return cmp.Compare(a.run(), b.run()) })
	leases := make([]audience.Lease, 0, len(jobs))
	for _, j := range jobs {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.lease.Ended {
			continue
		}
		j.lease.Renewal++
		j.lease.Done, j.lease.Parts = j.progress()
		leases = append(leases, j.lease)
	}
	return store.SetLeases(ctx, d, leases...)
}

// begin notes in the lease that the run is under way: if its process dies now, that
// may be why.
func (j *job) begin(ctx context.Context, store SendStore, d time.Duration) error {
	j.advance(0, 1)
	return j.renew(ctx, store, d)
}

// leave gives the run up, for any process to begin it again.
func (j *job) leave(ctx context.Context, store SendStore) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lease.Ended {
		return nil
	}
	j.lease.Renewal, j.lease.Left = j.lease.Renewal+1, true
	return store.SetLeases(ctx, 0, j.lease)
}

// end ends the lease: there is nothing to take over.
func (j *job) end(ctx context.Context, store SendStore) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	ended := j.lease
	ended.Renewal, ended.Ended = ended.Renewal+1, true
	if err := store.SetLeases(ctx, 0, ended); err != nil {
		return err
	}
	j.lease = ended
	return nil
}

// How a run ends.
const (
	outcomeDone       = "done"
	outcomeFailed     = "failed"
	outcomeSuperseded = "superseded" // another run of the same send has taken its place
	outcomeStopped    = "stopped"    // left for another process
)

type sendMetrics struct {
	outcomes *prometheus.CounterVec
	seconds  prometheus.Histogram
	running  prometheus.Gauge
}

func newSendMetrics(reg prometheus.Registerer) sendMetrics {
	m := sendMetrics{
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "leadevents_sends_materializations_total",
			Help: "Runs by outcome: done, failed, superseded (another run took its place) or stopped (left for another process)."}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "leadevents_sends_materialization_seconds",
			Help: "Time of runs that are done, from their first query.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 16)}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: "leadevents_sends_materializations_running",
			Help: "Runs under way in this process."}),
	}
	reg.MustRegister(m.outcomes, m.seconds, m.running)
	for _, outcome := range []string{outcomeDone, outcomeFailed, outcomeSuperseded, outcomeStopped} {
		m.outcomes.WithLabelValues(outcome)
	}
	return m
}
