package ingest

import (
	"sync/atomic"
	"time"

	"leadevents"
)

// Call is a decoded and authenticated ingest call on its way through the store.
// Its events may alias the request's body: whoever submits it keeps the body
// until Submit returns.
type Call struct {
	Org       leadevents.OrgID
	EventType string
	Received  int
	Events    []leadevents.Event
	Index     []uint32 // Index[i] is the place of Events[i] among the rows that were sent
	Rejects   []leadevents.RowReject

	KeyID          string
	IdempotencyKey string   // empty without one
	BodyHash       [16]byte // the first half of the SHA-256 of the body as sent
	RunID          string
	DryRun         bool

	id      leadevents.BatchID
	begun   time.Time
	resumed bool // the id was used by an attempt that was never answered
	rows    int  // of its events, and the bytes of their metadata: a call that was taken back is not looked into
	bytes   int
	years   years
	marks   []uint64     // of its events, with an Idempotency-Key
	visit   *visit       // of the historical lanes, whose caller leaves them; nil: none yet
	fate    atomic.Int32 // waiting, begun or withdrawn
	result  Result
	err     error
	done    chan struct{}
}

// Result is the answer to a call.
type Result struct {
	Batch      leadevents.BatchID // zero for a dry run
	Received   int
	Inserted   int
	Duplicates int
	Rejected   int
	Rejects    []leadevents.RowReject // the first 50
	Conflicts  *leadevents.Conflicts  // nil where nobody looked
}

// finish hands the call its end; only the first counts.
func (c *Call) finish(err error) {
	c.err = err
	close(c.done)
}

// receipt is the call's receipt as answered; it shares the call's rejects.
func (c *Call) receipt(state leadevents.BatchState, at leadevents.Millis) leadevents.Receipt {
	return leadevents.Receipt{
		Batch: c.id, Org: c.Org, EventType: c.EventType, State: state,
		KeyID: c.KeyID, IdempotencyKey: c.IdempotencyKey, BodyHash: c.BodyHash, RunID: c.RunID,
		Received: c.Received, Inserted: c.result.Inserted, Duplicates: c.result.Duplicates, Rejected: len(c.Rejects), Rejects: c.Rejects, Conflicts: c.result.Conflicts,
		CreatedAt: leadevents.MillisOf(c.begun), FinishedAt: at,
	}
}

// answered is the result that a receipt stands for.
func answered(r leadevents.Receipt) Result {
	return Result{
		Batch: r.Batch, Received: r.Received, Inserted: r.Inserted,
		Duplicates: r.Duplicates, Rejected: r.Rejected, Rejects: r.Rejects, Conflicts: r.Conflicts,
	}
}
