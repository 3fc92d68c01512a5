package leadevents

// RunHeader names the run that a call's batch belongs to.
const RunHeader = "Leadevents-Run"

// RunState is where a run stands.
type RunState string

// The states of a run. One of which only some batches are undone is done: it can go on.
const (
	RunDone    RunState = "done"
	RunUndoing RunState = "undoing" // of some batches the undo has begun and not ended
	RunUndone  RunState = "undone"  // of all batches
)

// Run is the batches that a client put together (a backfill), in sum.
type Run struct {
	ID      string
	Batches uint64
	// Undone are those of the batches that are, Undoing those that will be.
	Undone, Undoing uint64
	// The counts are those of the answers, undone batches included.
	Received, Inserted, Duplicates, Rejected uint64
	FirstAt, LastAt                          Millis // of the batches' creation
}

// State is where the run stands.
func (r *Run) State() RunState {
	switch {
	case r.Undoing > 0:
		return RunUndoing
	case r.Undone == r.Batches:
		return RunUndone
	}
	return RunDone
}

// ErrNoRun says that an organization has no run of an id.
var ErrNoRun = Errorf(NotFound, "there is no run of that id: no batch of this organization belongs to it")

// TheRun is the run of an id among what a store has found under it: none is [ErrNoRun].
func TheRun(found []Run, err error) (Run, error) {
	switch {
	case err != nil:
		return Run{}, err
	case len(found) == 0:
		return Run{}, ErrNoRun
	}
	return found[0], nil
}

// RunPosition is a place in the list of runs, newest first; zero is its begin.
type RunPosition struct {
	FirstAt Millis
	ID      string
}
