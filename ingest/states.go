package ingest

import (
	"context"
	"slices"

	"leadevents"
	"leadevents/ingest/ledger"
)

// ensureStates makes sure that keys which are duplicates by a row alone, or were
// stored by an earlier attempt of ours, have their state, which filters read. An
// insert is not atomic between a row and its state: one that broke off there has
// left the row, and its client without an answer. Where one of the batches that
// stored the key has a receipt, its insert has ended well; else the state is added,
// which does no harm where it was.
func (g *group) ensureStates(ctx context.Context, org leadevents.OrgID, eventType string, rows map[int32][]leadevents.BatchID) error {
	if g.calls[0].DryRun {
		return nil
	}
	seen := map[leadevents.BatchID]bool{}
	var batches []ledger.Landed
	for k, of := range rows {
		for _, batch := range of {
			if (g.known[k] || g.stored[k]) && !seen[batch] {
				seen[batch] = true
				batches = append(batches, ledger.Landed{Org: org, Batch: batch})
			}
		}
	}
	if len(batches) == 0 {
		return nil
	}
	lacking, err := g.in.store.LackReceipts(ctx, batches)
	if err != nil || len(lacking) == 0 {
		return err
	}
	without := make(map[leadevents.BatchID]bool, len(lacking))
	for _, l := range lacking {
		without[l.Batch] = true
	}
	var (
		phones []uint64
		times  []int64
	)
	for k, of := range rows {
		if (g.known[k] || g.stored[k]) && !slices.ContainsFunc(of, func(batch leadevents.BatchID) bool { return !without[batch] }) {
			phones, times = append(phones, uint64(g.keys[k].Phone)), append(times, int64(g.keys[k].OccurredAt))
		}
	}
	if len(phones) == 0 {
		return nil
	}
	g.in.metrics.statesAdded.Add(float64(len(phones)))
	return g.in.store.SaveStates(ctx, org, eventType, phones, times)
}
