package ingest

import (
	"context"
	"slices"
	"sync"

	"leadevents"
	"leadevents/ingest/ledger"
)

// ensureStates makes sure that keys which are duplicates by a row alone, or were
// stored by an earlier attempt of ours, have their state, which filters read. An
// insert is not atomic between a row and its state: one that broke off there has
// left the row, and its client without an answer. Where one of the batches that
// stored the key has a receipt, its insert has ended well; else the state is added,
// which does no harm where it was. Which batches have receipts is remembered: a
// backfill that is sent again is duplicates of the same few batches.
func (g *group) ensureStates(ctx context.Context, org leadevents.OrgID, eventType string, rows map[int32][]leadevents.BatchID) error {
	if g.calls[0].DryRun {
		return nil
	}
	without := map[leadevents.BatchID]bool{} // a receipt; all batches of the rows
	for k, of := range rows {
		if g.known[k] || g.stored[k] {
			for _, batch := range of {
				without[batch] = true
			}
		}
	}
	g.in.receipted.drop(g.view.Trust.Epoch, org, without)
	if 0 < len(without) && len(without) <= receiptsAsked {
		asked := make([]ledger.Landed, 0, len(without))
		for batch := range without {
			asked = append(asked, ledger.Landed{Org: org, Batch: batch})
		}
		lacking, err := g.in.store.LackReceipts(ctx, asked)
		if err != nil {
			return err
		}
		lacks := make(map[leadevents.BatchID]bool, len(lacking))
		for _, l := range lacking {
			lacks[l.Batch] = true
		}
		g.in.receipted.add(g.view.Trust.Epoch, org, without, lacks)
		without = lacks
	}
	if len(without) == 0 {
		return nil
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

const (
	// receiptsAsked bounds one question for receipts: a look by the primary key costs
	// a granule a batch, and states of more batches than this are added unasked.
	receiptsAsked = 100
	// receiptsKept bounds what is remembered, at about 50 bytes each.
	receiptsKept = 50_000
)

// receipted remembers batches that have receipts, for the length of an epoch of
// the ledger: a ClickHouse that has gone back in time begins a new one.
type receipted struct {
	mu      sync.Mutex
	epoch   string
	batches map[leadevents.BatchRef]struct{}
}

// drop takes those that are known to have a receipt out of a set of batches.
func (r *receipted) drop(epoch string, org leadevents.OrgID, batches map[leadevents.BatchID]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch != epoch {
		return
	}
	for batch := range batches {
		if _, ok := r.batches[leadevents.BatchRef{Org: org, Batch: batch}]; ok {
			delete(batches, batch)
		}
	}
}

// add remembers the batches that do not lack one.
func (r *receipted) add(epoch string, org leadevents.OrgID, batches, lacks map[leadevents.BatchID]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch != epoch || len(r.batches)+len(batches) > receiptsKept {
		r.epoch, r.batches = epoch, make(map[leadevents.BatchRef]struct{}, len(batches))
	}
	for batch := range batches {
		if !lacks[batch] {
			r.batches[leadevents.BatchRef{Org: org, Batch: batch}] = struct{}{}
		}
	}
}
