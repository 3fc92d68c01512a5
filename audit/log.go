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
	detail := Detail{}
	maps.Copy(detail, a.Detail)
	e := Entry{ID: leadevents.NewID(), At: leadevents.MillisOf(l.now()), Action: a.Action, Outcome: Begun, Actor: ActorOf(ctx), Object: a.Object}
	if err := l.begin(ctx, org, e, detail); err != nil {
		return err
	}
	err := do(ctx, detail)
	switch leadevents.KindOf(err) {
	case leadevents.Unavailable, leadevents.Internal:
		if err != nil && !a.Reads {
			return err
		}
	}
	if e.Outcome = Done; err != nil {
		e.Outcome = Failed
	}
	// Whoever asked may have gone: what became of it is written all the same.
	if lost := l.append(context.WithoutCancel(ctx), org, e, detail); lost != nil {
		l.log.Warn("an entry of the audit log stays begun", "organization", uint64(org), "action", e.Action, "entry", e.ID, "outcome", e.Outcome, "error", lost)
	}
	return err
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
