package ingest

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"leadevents"
	"leadevents/ingest/ledger"
)

// mender adds the states of rows whose insert broke off between the row and its
// state, with nobody left who sends them again. Nothing that was answered depends
// on it: it makes the two tables equal again. What it has not done when the
// process ends, the next process' first look does (ledger, repairAfterStart).
type mender struct {
	store Store // behind its breaker
	up    *breaker
	log   *slog.Logger
	wake  chan struct{}

	mu           sync.Mutex
	wanted       bool
	since, until leadevents.Millis // the stamps of the rows: one stretch holds all of them
}

// mendPause is between two tries.
const mendPause = time.Second

func newMender(store Store, up *breaker, log *slog.Logger) *mender {
	return &mender{store: store, up: up, log: log, wake: make(chan struct{}, 1)}
}

// add wants the rows with this stamp mended.
func (m *mender) add(stamp leadevents.Millis) {
	m.want(stamp, stamp+1)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *mender) want(since, until leadevents.Millis) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wanted {
		since, until = min(since, m.since), max(until, m.until)
	}
	m.wanted, m.since, m.until = true, since, until
}

func (m *mender) take() (since, until leadevents.Millis, wanted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted, m.wanted = m.wanted, false
	return m.since, m.until, wanted
}

// run ends with ctx.
func (m *mender) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		}
		for since, until, wanted := m.take(); wanted; since, until, wanted = m.take() {
			if m.up.await(ctx) == nil {
				err := m.store.RepairStates(ctx, ledger.Stretch{To: ledger.EveryMoment, IngestedSince: since, IngestedUntil: until})
				if err == nil {
					continue
				}
				if ctx.Err() == nil {
					m.log.Warn("states of rows could not be repaired; tried again", "error", err)
				}
			}
			m.want(since, until)
			if sleep(ctx, mendPause) != nil {
				return
			}
		}
	}
}
