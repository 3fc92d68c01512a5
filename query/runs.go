package query

import (
	"context"
	"strconv"
	"strings"

	"leadevents"
)

// RunStore has the batches of runs (ClickHouse).
type RunStore interface {
	// Runs reads runs, newest first, at most limit; only the one of an id, if that is not
	// empty.
	Runs(ctx context.Context, org leadevents.OrgID, id string, after leadevents.RunPosition, limit int) ([]leadevents.Run, error)
}

// Limits of the list of runs.
const (
	MaxRuns     = 1000
	DefaultRuns = 100
)

var errRunID = leadevents.Errorf(leadevents.InvalidRequest, "run must be 1 to %d of the characters A-Z, a-z, 0-9, _, . and -", leadevents.MaxRunID)

// Runs answers for the runs that batches belong to.
type Runs struct{ store RunStore }

// NewRuns makes it.
func NewRuns(store RunStore) *Runs { return &Runs{store} }

// Run reads one. An unknown id and another organization's are the same 404.
func (r *Runs) Run(ctx context.Context, org leadevents.OrgID, id string) (leadevents.Run, error) {
	if !leadevents.IsRunID(id) {
		return leadevents.Run{}, leadevents.ErrNoRun
	}
	return leadevents.TheRun(r.store.Runs(ctx, org, id, leadevents.RunPosition{}, 1))
}

// List reads runs, newest first by their first batches, and the position to go on from;
// zero at the end.
func (r *Runs) List(ctx context.Context, org leadevents.OrgID, after leadevents.RunPosition, limit int) ([]leadevents.Run, leadevents.RunPosition, error) {
	runs, err := r.store.Runs(ctx, org, "", after, limit+1)
	if err != nil || len(runs) <= limit {
		return runs, leadevents.RunPosition{}, err
	}
	last := runs[limit-1]
	return runs[:limit], leadevents.RunPosition{FirstAt: last.FirstAt, ID: last.ID}, nil
}

// runCursor is a position as a cursor.
func runCursor(org leadevents.OrgID, p leadevents.RunPosition) string {
	return writeCursor("r1", org, strconv.FormatInt(int64(p.FirstAt), 10)+"."+p.ID)
}

// parseRunCursor reads what runCursor wrote for the same organization.
func parseRunCursor(org leadevents.OrgID, cursor string) (leadevents.RunPosition, error) {
	position, err := readCursor("r1", org, cursor)
	if err != nil {
		return leadevents.RunPosition{}, err
	}
	first, id, _ := strings.Cut(position, ".")
	at, err := strconv.ParseInt(first, 10, 64)
	if err != nil || at < 0 || !leadevents.IsRunID(id) {
		return leadevents.RunPosition{}, errCursor
	}
	return leadevents.RunPosition{FirstAt: leadevents.Millis(at), ID: id}, nil
}
