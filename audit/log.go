package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"leadevents"
)

// Store keeps entries. It can add, and nothing else.
type Store interface {
	// AppendAudit is durable when it returns without an error; after one the entry may
	// be there. Adding the same again is the same as once, and of one ID an outcome
	// that is added later than Begun is the last word.
	AppendAudit(ctx context.Context, org leadevents.OrgID, e Entry) error
}

// Log has acts written down before they are done.
type Log struct {
	store Store
	now   func() time.Time
	log   *slog.Logger
}

// NewLog makes it; now is the clock (time.Now).
func NewLog(store Store, now func() time.Time, log *slog.Logger) *Log {
	return &Log{store: store, now: now, log: log}
}

const (
	// appendTimeout bounds one try. An entry is a few hundred bytes that are synced to
	// disk: 10 ms on a quiet machine, and not many on one where other writes go.
	appendTimeout = 5 * time.Second
	// Whoever asked waits for two tries. The second is for a connection that had died
	// unnoticed, not for a store that is down.
	beginTries = 2
)

// Act is what is about to be done.
type Act struct {
	Action Action
	Object string // see Entry
	Detail Detail // what is known before
	// Reads says that it changes nothing: however it ends, that is its end. Of a change
	// whose store did not answer nobody knows whether it was made.
	Reads bool
}

// Do writes that an act begins, then does it, then writes what became of it. What do
// adds to the detail is written at the end. The error is do's, or a 503 where nothing
// was done because that could not be written.
func (l *Log) Do(ctx context.Context, org leadevents.OrgID, a Act, do func(ctx context.Context, detail Detail) error) error {
	begun, err := l.Begin(ctx, org, a)
	if err != nil {
		return err
	}
	err = do(ctx, begun.Detail)
	begun.End(ctx, err)
	return err
}

// Open is an act whose entry is written.
type Open struct {
	Detail Detail // what is added to it is written by End

	log   *Log
	org   leadevents.OrgID
	entry Entry
	reads bool
}

// Begin is the first step of [Log.Do], for an act that goes on elsewhere: nothing may be
// seen of it before Begin has returned without an error. End is the last one.
func (l *Log) Begin(ctx context.Context, org leadevents.OrgID, a Act) (*Open, error) {
	b := &Open{Detail: Detail{}, log: l, org: org, reads: a.Reads}
	maps.Copy(b.Detail, a.Detail)
	b.entry = Entry{ID: leadevents.NewID(), At: leadevents.MillisOf(l.now()), Action: a.Action, Outcome: Begun, Actor: ActorOf(ctx), Object: a.Object}
	if err := l.begin(ctx, org, b.entry, b.Detail); err != nil {
		return nil, err
	}
	return b, nil
}

// End writes what became of the act, whose error is err.
func (b *Open) End(ctx context.Context, err error) {
	switch leadevents.KindOf(err) {
	case leadevents.Unavailable, leadevents.Internal:
		if err != nil && !b.reads {
			return
		}
	}
	e := b.entry
	if e.Outcome = Done; err != nil {
		e.Outcome = Failed
	}
	// Whoever asked may have gone: what became of it is written all the same.
	if lost := b.log.append(context.WithoutCancel(ctx), b.org, e, b.Detail); lost != nil {
		b.log.log.Warn("an entry of the audit log stays begun", "organization", uint64(b.org), "action", e.Action, "entry", e.ID, "outcome", e.Outcome, "error", lost)
	}
}

func (l *Log) begin(ctx context.Context, org leadevents.OrgID, e Entry, detail Detail) (err error) {
	for range beginTries {
		if err = l.append(ctx, org, e, detail); err == nil {
			return nil
		}
	}
	return leadevents.Wrap(leadevents.Unavailable, err, "nothing was done, for the audit log cannot be written (%s); send the same request again", e.Action)
}

func (l *Log) append(ctx context.Context, org leadevents.OrgID, e Entry, detail Detail) (err error) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	if e.Detail, err = json.Marshal(detail); err != nil {
		return fmt.Errorf("write the detail of %s: %w", e.Action, err)
	}
	return l.store.AppendAudit(ctx, org, e)
}
