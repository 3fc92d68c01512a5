package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"leadevents"
	"leadevents/ingest/ledger"
)

// Store is ClickHouse. Its errors are *leadevents.Error or bugs.
type Store interface {
	Clock(ctx context.Context) (leadevents.Millis, error)
	// Surroundings reads what explains differences.
	Surroundings(ctx context.Context, org leadevents.OrgID) (Surroundings, error)
	// ReceiptDays sums the receipts that were created from from on and before to, and
	// finished before settled, and the keys of their batches. Of more lines than limit
	// those that differ come first.
	ReceiptDays(ctx context.Context, org leadevents.OrgID, from, to, settled leadevents.Millis, limit int, memory uint64) (Days, error)
	StoredTypes(ctx context.Context, org leadevents.OrgID) ([]string, error)
	// StateRows is how many rows the states of a type have; leads are fewer.
	StateRows(ctx context.Context, org leadevents.OrgID, eventType string) (uint64, error)
	CompareStates(ctx context.Context, org leadevents.OrgID, s Slice, memory uint64) (Compared, error)
	// StatesOf reads both sides of some leads.
	StatesOf(ctx context.Context, org leadevents.OrgID, eventType string, phones []leadevents.Phone) ([]State, error)
	// AddStates adds the states of the rows of some leads, of all of the slice for nil.
	AddStates(ctx context.Context, org leadevents.OrgID, s Slice, phones []leadevents.Phone) error
	// DropStates removes the states of a slice that reach beyond the rows, or have none.
	DropStates(ctx context.Context, org leadevents.OrgID, s Slice) error
	// SampleRows reads random rows that occurred at since or later and were stored before.
	SampleRows(ctx context.Context, org leadevents.OrgID, since, before leadevents.Millis, n int) ([]Row, error)
	FindKeys(ctx context.Context, org leadevents.OrgID, eventType string, phones []uint64, occurredAt []int64) ([]leadevents.StoredKey, error)
	ReceiptsOf(ctx context.Context, batches []leadevents.BatchRef, rejects int) (map[leadevents.BatchRef]leadevents.Receipt, error)
	ContestsOf(ctx context.Context, batches []leadevents.BatchRef) ([]leadevents.Contest, error)
}

// Ledger is Redis, as an inspector sees it.
type Ledger interface {
	Standing(ctx context.Context) (ledger.Standing, error)
	Sample(ctx context.Context, s ledger.Standing, org leadevents.OrgID, n int) ([]ledger.Sealed, error)
	Owners(ctx context.Context, s ledger.Standing, keys []leadevents.Key) ([]leadevents.BatchID, error)
	Restore(ctx context.Context, s ledger.Standing, keys []leadevents.Key, batches []leadevents.BatchID) error
}

// Surroundings is what explains differences of an organization.
type Surroundings struct {
	Erased    uint64 // events of leads that were erased
	Erasing   map[leadevents.Phone]bool
	Undoing   uint64          // entries of the journal that are no erasures, and open
	Expires   map[string]bool // types that have, or had, a rule of retention of their own
	AllExpire bool            // so has the organization for all types
}

func (s *Surroundings) expires(eventType string) bool { return s.AllExpire || s.Expires[eventType] }

// State is both sides of a lead of one type.
type State struct {
	Phone                            leadevents.Phone
	HasRows, HasState                bool
	RowsFirst, RowsLast, First, Last leadevents.Millis
}

// Slice is the leads of a type whose hash leaves Number when it is divided by Of.
type Slice struct {
	EventType  string
	Number, Of int
	// Expires says that a sweep of expired events may have set first times earlier.
	Expires bool
}

// Compared is what the leads of a slice came to.
type Compared struct {
	Leads  uint64
	Differ map[Kind]uint64
	States []State // of MaxStates that differ
}

// Row is one of the sample.
type Row struct {
	Key   leadevents.Key
	Batch leadevents.BatchID
}

// MaxStates is how many differing leads of a slice are read: the others are counted.
const MaxStates = 1000

// Days are lines of receipts, by day and type, and how many there are.
type Days struct {
	First         []Day // a limit of them
	Lines, Differ uint64
}

// Config bounds it.
type Config struct {
	// Sample is how many keys, and how many rows, of the ledger's sample. Default 1,000.
	Sample int
	// Lines bounds the days and types of a report. Default 10,000.
	Lines int
	// Memory bounds one query in ClickHouse. Default 1 GiB.
	Memory uint64
	// Pause is after how long what differs is looked at again, and for states thrice more,
	// each time twice as long after, [Pauses] in all. A row and its key are less than a
	// request's time apart, a state and its row mostly milliseconds and at most a request's
	// deadline. Default 2 s, for a deadline of 30 s.
	Pause time.Duration
	// Settled is for how long a receipt, or a row without one, must have been there: more
	// than a request may take. Default 2 min.
	Settled time.Duration
	Logger  *slog.Logger
}

func (c *Config) setDefaults() {
	c.Sample = cmp.Or(c.Sample, 1000)
	c.Lines = cmp.Or(c.Lines, 10_000)
	c.Memory = cmp.Or(c.Memory, 1<<30)
	c.Pause = cmp.Or(c.Pause, 2*time.Second)
	c.Settled = cmp.Or(c.Settled, 2*time.Minute)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Reconciler compares.
type Reconciler struct {
	cfg    Config
	store  Store
	ledger Ledger
}

// New makes it.
func New(cfg Config, store Store, ledger Ledger) *Reconciler {
	cfg.setDefaults()
	return &Reconciler{cfg: cfg, store: store, ledger: ledger}
}

// run is the look at one organization.
type run struct {
	*Reconciler
	org    leadevents.OrgID
	around Surroundings
	repair bool
	report *Report
}

// Look compares all of an organization, and mends what can be where repair is set. A zero
// to is now. What could not be looked at, for want of time or because a store refuses, is
// in the report; an error means that nothing was.
func (r *Reconciler) Look(ctx context.Context, org leadevents.OrgID, from, to leadevents.Millis, repair bool) (*Report, error) {
	now, err := r.store.Clock(ctx)
	if err != nil {
		return nil, err
	}
	around, err := r.store.Surroundings(ctx, org)
	if err != nil {
		return nil, err
	}
	l := &run{Reconciler: r, org: org, around: around, repair: repair && around.Undoing == 0,
		report: &Report{Org: org, From: from, To: cmp.Or(to, now), At: now}}
	if repair && !l.repair {
		l.skip("repairs", fmt.Errorf("%d undos are under way: repair when they have ended", around.Undoing))
	}
	for _, part := range []struct {
		name string
		look func(context.Context) error
	}{{"receipts", l.receipts}, {"states", l.states}, {"ledger", l.sample}} {
		if err := part.look(ctx); err != nil {
			r.cfg.Logger.Warn("reconcile", "organization", org, "part", part.name, "error", err)
			if ctx.Err() != nil {
				err = errors.New("the time for it was over")
			}
			l.skip(part.name, err)
		}
	}
	return l.report, nil
}

func (l *run) skip(what string, err error) {
	why := err.Error()
	if told, ok := errors.AsType[*leadevents.Error](err); ok {
		why = told.Message // the cause is in the log
	}
	l.report.Skipped = append(l.report.Skipped, what+": "+why)
}

// found notes a difference, if there is one.
func (l *run) found(d Difference) {
	if d.Count == 0 {
		return
	}
	if d.Explained == "" && l.around.Undoing > 0 {
		d.Explained = fmt.Sprintf("%d undos are under way, and this may be theirs", l.around.Undoing)
	}
	l.report.Differences = append(l.report.Differences, d)
}

// pause waits that many pauses, until what was only traffic is over.
func (l *run) pause(ctx context.Context, pauses int) error {
	timer := time.NewTimer(time.Duration(pauses) * l.cfg.Pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
