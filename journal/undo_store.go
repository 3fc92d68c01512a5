package journal

import (
	"context"

	"leadevents"
	"leadevents/audit"
	"leadevents/query/audience"
)

// UndoStore keeps the entries of undos, and has what they are about (ClickHouse). What
// removes something waits until it is removed, and does no harm when it is done again.
type UndoStore interface {
	// Whatever is undone is in the audit log before.
	audit.Store

	Clock(ctx context.Context) (leadevents.Millis, error)
	AppendJournal(ctx context.Context, org leadevents.OrgID, records ...Record) error
	// Undos reads the entries of batches, and OpenUndos those of all organizations that are
	// not verified.
	Undos(ctx context.Context, org leadevents.OrgID, batches []leadevents.BatchID) ([]Log, error)
	OpenUndos(ctx context.Context) (map[leadevents.OrgID][]Log, error)

	Receipt(ctx context.Context, org leadevents.OrgID, batch leadevents.BatchID, rejects int) (leadevents.Receipt, bool, error)
	ReceiptsOf(ctx context.Context, batches []leadevents.BatchRef, rejects int) (map[leadevents.BatchRef]leadevents.Receipt, error)
	Receipts(ctx context.Context, org leadevents.OrgID, which leadevents.BatchFilter, after leadevents.BatchPosition, limit int) ([]leadevents.Receipt, error)
	Runs(ctx context.Context, org leadevents.OrgID, id string, after leadevents.RunPosition, limit int) ([]leadevents.Run, error)
	// BatchBegun tells whether a batch has an Idempotency-Key that is not forgotten.
	BatchBegun(ctx context.Context, org leadevents.OrgID, batch leadevents.BatchID) (bool, error)
	// SendRuns reads the runs of sends that are done or under way, of those whose asOf is
	// not before since. RunHas tells whether a lead of one has an event of any of some
	// batches.
	SendRuns(ctx context.Context, org leadevents.OrgID, since leadevents.Millis) ([]SendRun, error)
	RunHas(ctx context.Context, org leadevents.OrgID, run uint64, of []Undoing) (bool, error)

	// Claimed are those of the batches that have won a key from a batch without a receipt.
	Claimed(ctx context.Context, org leadevents.OrgID, of []Undoing) ([]leadevents.BatchID, error)
	// CollectUndone writes down rows that are to be removed, as much as look says; what is
	// stamped before settled seals no more. Counts are of all that was written down.
	CollectUndone(ctx context.Context, org leadevents.OrgID, of []Undoing, look Look, settled leadevents.Millis) (map[uint64]Counts, error)
	// RemoveUndone deletes what was written down, if any of it is there.
	RemoveUndone(ctx context.Context, org leadevents.OrgID, of []Undoing) error
	// RestateUndone tells the states of the rows' leads anew, if they are not what the
	// rows that are there say.
	RestateUndone(ctx context.Context, org leadevents.OrgID, of []Undoing) error
	// UndoneKeys hands on which keys were written down, with the batches of their rows,
	// in pieces that must not be kept.
	UndoneKeys(ctx context.Context, org leadevents.OrgID, of []Undoing, f func([]leadevents.Key, []leadevents.BatchID) error) error
	// LeftUndone is how many of the rows are there, and how many states are not what they
	// should be.
	LeftUndone(ctx context.Context, org leadevents.OrgID, of []Undoing) (rows, states uint64, err error)
	// Unsettled is how many rows there are of the keys, of whose batches none has a
	// receipt, stamped between two moments.
	Unsettled(ctx context.Context, org leadevents.OrgID, of []Undoing, settled, until leadevents.Millis) (uint64, error)
	// MarkUndone gives the batches' receipts the state.
	MarkUndone(ctx context.Context, org leadevents.OrgID, of []Undoing) error
	// ForgetUndone removes what CollectUndone has written down.
	ForgetUndone(ctx context.Context, org leadevents.OrgID, of []Undoing) error

	Writers(ctx context.Context) ([]string, error)
	EndedWriters(ctx context.Context, ids []string) (bool, error)
}

// Look is for which rows of the keys of undone batches is looked.
type Look int

// The looks. The first is for all of them, but for those that may still seal: without a
// receipt, and not settled. The next ones, in the first pass, are for rows of the batches
// themselves, of those that have lost to them, and of those that were left then and have
// died; the last for the former two alone.
const (
	FirstLook Look = iota
	NextLook
	LastLook
)

// Undoing is a batch under an entry.
type Undoing struct {
	Entry     uint64
	Batch     leadevents.BatchID
	EventType string
	// Stored bounds the stamps of the batch's rows: those of attempts that were not
	// answered, too.
	StoredFrom, StoredTo leadevents.Millis
	BegunAt              leadevents.Millis // the undo; 0 while it is only thought of
	FinishedAt           leadevents.Millis // the call
	Inserted             int
}

// SendRun is the run of a send that has asked about events.
type SendRun struct {
	Send     string
	Run      uint64
	AsOf     leadevents.Millis
	Done     bool // not under way
	Audience audience.Reference
	Filters  []audience.Filter
}

// Asks tells whether the run's result rests on events of a type.
func (r *SendRun) Asks(eventType string) bool {
	switch r.Audience.Source {
	case audience.EveryLead:
		return true
	case audience.EverHad:
		if r.Audience.EventType == eventType {
			return true
		}
	}
	for i := range r.Filters {
		if r.Filters[i].EventType == eventType {
			return true
		}
	}
	return false
}

// UndoLedger is the memory of keys as undos need it (Redis; package ledger).
type UndoLedger interface {
	// Release removes each key that its batch owns, and no other.
	Release(ctx context.Context, keys []leadevents.Key, owners []leadevents.BatchID) (n int, err error)
	// Believed is the epoch of a ledger that is trusted; false while it is not.
	Believed(ctx context.Context) (epoch string, trusted bool)
}
