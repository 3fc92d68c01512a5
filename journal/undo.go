package journal

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/audit"
)

// Undos takes back what batches have stored: the keys that they were told inserted.
type Undos struct {
	cfg     Config
	store   UndoStore
	ledger  UndoLedger
	audit   *audit.Log
	metrics undoMetrics
	turns   turns

	blocked time.Time // when others were last found to write on; the worker's
}

// NewUndos makes it; Run does the work.
func NewUndos(cfg Config, store UndoStore, ledger UndoLedger, locks Locks) *Undos {
	cfg = cfg.withDefaults()
	u := &Undos{
		cfg: cfg, store: store, ledger: ledger,
		audit:   audit.NewLog(store, time.Now, cfg.Logger),
		metrics: newUndoMetrics(cfg.Metrics),
	}
	u.turns = turns{
		what: "an undo", lock: "journal undo", poll: cfg.Poll, longest: cfg.Wait, logger: cfg.Logger, locks: locks,
		open: u.metrics.open, read: store.OpenUndos, workAt: u.workAt, wake: make(chan struct{}, 1),
	}
	return u
}

// UndoState is where the undo of a batch stands.
type UndoState string

// The states. Undone is told when the first pass is through: from then on the batch's
// keys are new.
const (
	BatchUndoing UndoState = "undoing"
	BatchUndone  UndoState = "undone"
)

// UndoStatus is what became of the undo of a batch.
type UndoStatus struct {
	Batch                                             leadevents.BatchID
	RunID                                             string
	State                                             UndoState
	RequestedAt, UndoneAt, VerifiedAt, GoneAt, GoneBy leadevents.Millis // 0: not yet
	Counts                                            Counts
}

func (u *Undos) status(log Log) UndoStatus {
	begun := log.Begun()
	s := UndoStatus{
		Batch: begun.Batch, RunID: begun.RunID, State: BatchUndoing, Counts: log.Counts(),
		RequestedAt: log.At(Begun), UndoneAt: log.At(Removed), VerifiedAt: log.At(Verified), GoneAt: log.At(Purged),
	}
	if s.UndoneAt != 0 {
		s.State = BatchUndone
	}
	if s.VerifiedAt != 0 {
		s.GoneBy = s.VerifiedAt.Add(u.cfg.PurgeAfter + purgeSlack)
	}
	return s
}

// last is the newest entry of a batch; nil without one.
func (u *Undos) last(ctx context.Context, org leadevents.OrgID, batch leadevents.BatchID) (Log, error) {
	logs, err := u.store.Undos(ctx, org, []leadevents.BatchID{batch})
	if err != nil || len(logs) == 0 {
		return nil, err
	}
	newest(logs)
	return logs[len(logs)-1], nil // of two that were begun at once the first
}

var errNoSuchBatch = leadevents.Errorf(leadevents.NotFound, "there is no batch of that id: it is not one of this organization's, or its call was never answered 200")

// Undo has a batch undone, unless it is already, or will be: then it is the same undo. It
// returns when that is durable; filters are right from then on. Without force it is a 409
// where a send has used what the batch has stored.
func (u *Undos) Undo(ctx context.Context, org leadevents.OrgID, batch leadevents.BatchID, force bool) (UndoStatus, error) {
	log, err := u.last(ctx, org, batch)
	if err != nil {
		return UndoStatus{}, err
	}
	if log != nil {
		return u.status(log), nil
	}
	receipt, found, err := u.store.Receipt(ctx, org, batch, 0)
	switch {
	case err != nil:
		return UndoStatus{}, err
	case !found || receipt.State == leadevents.BatchRunning:
		begun, err := u.store.BatchBegun(ctx, org, batch)
		if err == nil {
			if err = errNoSuchBatch; begun {
				err = leadevents.Errorf(leadevents.Conflict, "the call of batch %s is still running, or was cut off: send it again until it is answered, then undo the batch", batch)
			}
		}
		return UndoStatus{}, err
	}
	if !force {
		if err := u.used(ctx, org, receipt); err != nil {
			return UndoStatus{}, err
		}
	}
	act := audit.Act{Action: audit.BatchUndo, Object: batch.String(), Detail: audit.Detail{"force": force, "eventType": receipt.EventType, "inserted": receipt.Inserted}}
	err = u.audit.Do(ctx, org, act, func(ctx context.Context, _ audit.Detail) error {
		if err := u.begin(ctx, org, receipt); err != nil {
			return err
		}
		log, err = u.last(ctx, org, batch)
		return err
	})
	if err != nil {
		return UndoStatus{}, err
	}
	return u.status(log), nil
}

// begin writes entries, all of them or none.
func (u *Undos) begin(ctx context.Context, org leadevents.OrgID, receipts ...leadevents.Receipt) error {
	records := make([]Record, len(receipts))
	for i, r := range receipts {
		records[i] = Record{Entry: leadevents.NewID(), Kind: Undo, Step: Begun, Batch: r.Batch, EventType: r.EventType, RunID: r.RunID}
	}
	err := u.store.AppendJournal(ctx, org, records...)
	u.turns.hurry()
	if err == nil {
		u.metrics.records.WithLabelValues(string(Begun)).Add(float64(len(records)))
	}
	return err
}

// Wait returns when a batch is undone, or with a 503.
func (u *Undos) Wait(ctx context.Context, org leadevents.OrgID, batch leadevents.BatchID) (s UndoStatus, err error) {
	err = u.turns.wait(ctx, notUndone, func(ctx context.Context) (bool, error) {
		log, err := u.last(ctx, org, batch)
		if err != nil || log == nil {
			return false, err
		}
		s = u.status(log)
		return s.State == BatchUndone, nil
	})
	return s, err
}

// notUndone begins the 503 of who waited in vain.
const notUndone = "the undo has not ended"

// exactBatches is for how many batches it is looked whether their leads are a send's; of
// more, a send that asks about their types is taken to have used them.
const exactBatches = 100

// used is a 409 where a materialized send, or one that is being, rests on what batches
// have stored.
func (u *Undos) used(ctx context.Context, org leadevents.OrgID, receipts ...leadevents.Receipt) error {
	since := slices.MinFunc(receipts, func(a, b leadevents.Receipt) int { return int(a.CreatedAt - b.CreatedAt) }).CreatedAt
	runs, err := u.store.SendRuns(ctx, org, since)
	if err != nil {
		return err
	}
	var sends []string
	for _, run := range runs {
		var may []Undoing
		for _, r := range receipts {
			if r.Inserted > 0 && run.AsOf >= r.CreatedAt && run.Asks(r.EventType) {
				may = append(may, undoing(0, 0, r))
			}
		}
		has := len(may) > 0
		if has && run.Done && len(may) <= exactBatches {
			if has, err = u.store.RunHas(ctx, org, run.Run, may); err != nil {
				return err
			}
		}
		if has {
			sends = append(sends, run.Send)
		}
	}
	if len(sends) == 0 {
		return nil
	}
	slices.Sort(sends)
	sends = slices.Compact(sends)
	shown := sends[:min(len(sends), 10)]
	return leadevents.Errorf(leadevents.Conflict, "%d materialized sends have used these events (%s): what they keep would rest on what never was. force=true undoes all the same, and leaves their results as they are", len(sends), strings.Join(shown, ", "))
}

type undoMetrics struct {
	records *prometheus.CounterVec
	keys    prometheus.Counter
	open    prometheus.Gauge
}

func newUndoMetrics(reg prometheus.Registerer) undoMetrics {
	m := undoMetrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "leadevents_undos_total",
			Help: "Undos of batches that have come to a step in this process: begun, removed (the batch is undone), verified."}, []string{"step"}),
		keys: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_undos_keys_released_total",
			Help: "Keys that undos have removed from the ledger in this process."}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "leadevents_undos_open",
			Help: "Undos of batches that are not verified yet, of all processes, as this one has seen last."}),
	}
	reg.MustRegister(m.records, m.keys, m.open)
	for _, s := range []Step{Begun, Removed, Verified} {
		m.records.WithLabelValues(string(s))
	}
	return m
}
