package ingest

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"leadevents"
	"leadevents/ingest/ledger"
)

// mender adds the states of rows whose insert broke off between the row and its
// state, with nobody left who sends them again. Nothing that was answered depends
// on it: it makes the two tables equal again. What it has not done when the
// process ends, the ledger's watch in another process does, or the next process' first
// look (ledger, presence.go and repairAfterStart).
//
// Every stretch is mended twice: at once, and a grace later; both times when the server
// has confirmed that the queries of the insert have ended, for on one without a free
// core a query that was given up lingers between the row and its state, and the end of
// the server then leaves the row alone. The second time is for an insert that was still
// on its way, in a socket of a server that stood still, and breaks off when its rows
// arrive.
type mender struct {
	store Store // behind its breaker
	up    *breaker
	log   *slog.Logger
	grace time.Duration
	wake  chan struct{}

	mu     sync.Mutex
	wanted []mending // the first is the next; at most maxMendings
}

// mending is rows by their stamps, since ≤ stamp < until, to be mended from due on.
type mending struct {
	since, until leadevents.Millis
	due          time.Time
	again        bool     // the second time
	queries      []string // ids of the inserts
}

const (
	// mendPause is between two tries.
	mendPause = time.Second
	// maxMendings bounds what is remembered; beyond it one stretch holds two.
	maxMendings = 64
	// maxMendingQueries bounds the queries of one; of more the newest count.
	maxMendingQueries = 256
	// endLimit bounds the wait for the end of a query.
	endLimit = 10 * time.Second
)

func newMender(store Store, up *breaker, grace time.Duration, log *slog.Logger) *mender {
	return &mender{store: store, up: up, grace: grace, log: log, wake: make(chan struct{}, 1)}
}

// add wants the rows with this stamp mended, which these queries were to insert.
func (m *mender) add(stamp leadevents.Millis, queries []string) {
	m.want(mending{since: stamp, until: stamp + 1, due: time.Now(), queries: queries})
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// want keeps the mendings in the order of their due. What cannot be kept apart is
// made one, whose due is the later and which is mended twice if either was to be.
func (m *mender) want(next mending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.wanted); n == maxMendings {
		last := m.wanted[n-1]
		m.wanted = m.wanted[:n-1]
		next.since, next.until = min(next.since, last.since), max(next.until, last.until)
		next.again = next.again && last.again
		next.queries = slices.Concat(last.queries, next.queries)
		next.queries = next.queries[max(len(next.queries)-maxMendingQueries, 0):]
		if last.due.After(next.due) {
			next.due = last.due
		}
	}
	at, _ := slices.BinarySearchFunc(m.wanted, next, func(a, b mending) int { return a.due.Compare(b.due) })
	m.wanted = slices.Insert(m.wanted, at, next)
}

// owes says whether rows may lack their states yet.
func (m *mender) owes() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.wanted) > 0
}

// take is the next mending if it is due, else after how long it will be.
func (m *mender) take() (next mending, wait time.Duration, due bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.wanted) == 0 {
		return next, time.Hour, false
	}
	next = m.wanted[0]
	if wait = time.Until(next.due); wait > 0 {
		return next, wait, false
	}
	m.wanted = slices.Delete(m.wanted, 0, 1)
	return next, 0, true
}

// run ends with ctx.
func (m *mender) run(ctx context.Context) {
	for {
		next, wait, due := m.take()
		if !due {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-m.wake:
			case <-timer.C:
			}
			timer.Stop()
			continue
		}
		if m.up.await(ctx) == nil {
			err := m.mend(ctx, next)
			if err == nil {
				if !next.again {
					next.again, next.due = true, time.Now().Add(m.grace)
					m.want(next)
				}
				continue
			}
			if ctx.Err() == nil {
				m.log.Warn("states of rows could not be repaired; tried again", "error", err)
			}
		}
		m.want(next)
		if sleep(ctx, mendPause) != nil {
			return
		}
	}
}

func (m *mender) mend(ctx context.Context, next mending) error {
	for _, query := range next.queries {
		ending, cancel := context.WithTimeout(ctx, endLimit)
		err := m.store.Kill(ending, query)
		cancel()
		if err != nil {
			return err
		}
	}
	return m.store.RepairStates(ctx, ledger.Stretch{To: ledger.EveryMoment, IngestedSince: next.since, IngestedUntil: next.until}, true)
}
