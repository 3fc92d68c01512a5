package journal

import (
	"context"

	"leadevents"
	"leadevents/audit"
)

// Bounds of the undo of a run.
const (
	// MaxRunBatches is how many batches of a run are undone at once: some 200 bytes each
	// here, all of them in one block of the journal.
	MaxRunBatches = 200_000
	runPage       = 1000
)

// UndoRun has all batches of a run undone that are done now; its calls that run are not
// among them. Again it is the same, with what has come to the run since.
func (u *Undos) UndoRun(ctx context.Context, org leadevents.OrgID, run string, force bool) (leadevents.Run, error) {
	if !leadevents.IsRunID(run) {
		return leadevents.Run{}, leadevents.ErrNoRun
	}
	fresh, err := u.fresh(ctx, org, run)
	if err != nil {
		return leadevents.Run{}, err
	}
	if len(fresh) > 0 {
		if !force {
			if err := u.used(ctx, org, fresh...); err != nil {
				return leadevents.Run{}, err
			}
		}
		inserted := 0
		for _, r := range fresh {
			inserted += r.Inserted
		}
		act := audit.Act{Action: audit.RunUndo, Object: run, Detail: audit.Detail{"force": force, "batches": len(fresh), "inserted": inserted}}
		err := u.audit.Do(ctx, org, act, func(ctx context.Context, _ audit.Detail) error { return u.begin(ctx, org, fresh...) })
		if err != nil {
			return leadevents.Run{}, err
		}
	}
	return u.run(ctx, org, run)
}

// fresh are the batches of a run that are done and under no entry.
func (u *Undos) fresh(ctx context.Context, org leadevents.OrgID, run string) (fresh []leadevents.Receipt, err error) {
	after := leadevents.BatchPosition{}
	for {
		page, err := u.store.Receipts(ctx, org, leadevents.BatchFilter{RunID: run, State: leadevents.BatchDone}, after, runPage)
		if err != nil || len(page) == 0 {
			return fresh, err
		}
		batches := make([]leadevents.BatchID, len(page))
		for i, r := range page {
			batches[i] = r.Batch
		}
		logs, err := u.store.Undos(ctx, org, batches)
		if err != nil {
			return nil, err
		}
		begun := map[leadevents.BatchID]bool{}
		for _, log := range logs {
			begun[log.Begun().Batch] = true
		}
		for _, r := range page {
			if !begun[r.Batch] {
				fresh = append(fresh, r)
			}
		}
		if len(fresh) > MaxRunBatches {
			return nil, leadevents.Errorf(leadevents.Conflict, "the run has more than %d batches that are not undone: undo its batches one by one", MaxRunBatches)
		}
		last := page[len(page)-1]
		after = leadevents.BatchPosition{CreatedAt: last.CreatedAt, Batch: last.Batch}
	}
}

// WaitRun returns when no batch of a run is being undone, or with a 503.
func (u *Undos) WaitRun(ctx context.Context, org leadevents.OrgID, run string) (r leadevents.Run, err error) {
	err = u.turns.wait(ctx, notUndone, func(ctx context.Context) (bool, error) {
		var err error
		r, err = u.run(ctx, org, run)
		return err == nil && r.State() != leadevents.RunUndoing, err
	})
	return r, err
}

// run is where a run stands.
func (u *Undos) run(ctx context.Context, org leadevents.OrgID, run string) (leadevents.Run, error) {
	return leadevents.TheRun(u.store.Runs(ctx, org, run, leadevents.RunPosition{}, 1))
}
