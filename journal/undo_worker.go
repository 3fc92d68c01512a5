package journal

import (
	"context"
	"slices"
	"time"

	"leadevents"
)

// Bounds of a group: undos of one organization that go through the steps together. A
// deletion costs about the same for one as for all. The keys of a group are held as a set
// by the server, some 100 MB a million.
const (
	groupUndos    = 1000
	groupUndoKeys = 1_000_000
	// lateRounds is how often a pass looks for rows that came while it was at work,
	// until it leaves the rest to its next turn.
	lateRounds = 5
)

// undoing is the batch of a receipt under an entry. Of a call with an Idempotency-Key an
// attempt may have stored a day before the one that was answered.
func undoing(entry uint64, begun leadevents.Millis, r leadevents.Receipt) Undoing {
	from := r.CreatedAt.Add(-time.Minute)
	if r.IdempotencyKey != "" {
		from = from.Add(-leadevents.IdempotencyLife)
	}
	return Undoing{
		Entry: entry, Batch: r.Batch, EventType: r.EventType, StoredFrom: max(from, 0), StoredTo: r.FinishedAt.Add(time.Minute),
		BegunAt: begun, FinishedAt: r.FinishedAt, Inserted: r.Inserted,
	}
}

// Run works at undos, of all processes, until ctx ends. What is under way then is gone on
// with by another process, or at the next start.
func (u *Undos) Run(ctx context.Context) error { return u.turns.run(ctx, u.turns.work) }

// workAt brings the undos of one organization on, each by a step of its life.
func (u *Undos) workAt(ctx context.Context, org leadevents.OrgID, logs []Log) error {
	now, err := u.store.Clock(ctx)
	if err != nil {
		return err
	}
	var fresh, collected, due []Log
	for _, log := range logs {
		switch {
		case log.Begun() == nil:
		case log.Passes() > 0:
			if now >= log.At(Removed).Add(u.cfg.Grace) {
				due = append(due, log)
			}
		case log.has(Collected, 1) != nil:
			collected = append(collected, log)
		default:
			fresh = append(fresh, log)
		}
	}
	for _, logs := range [][]Log{collected, fresh} { // what was cut off goes first
		err := u.eachGroup(ctx, org, logs, func(group []Undoing) error { return u.pass(ctx, org, group, now) })
		if err != nil {
			return err
		}
	}
	if time.Since(u.blocked) < blockedPause {
		return nil
	}
	return u.eachGroup(ctx, org, due, func(group []Undoing) error { return u.finish(ctx, org, group) })
}

// eachGroup cuts entries into groups, and knows their receipts.
func (u *Undos) eachGroup(ctx context.Context, org leadevents.OrgID, logs []Log, do func([]Undoing) error) error {
	for some := range slices.Chunk(logs, groupUndos) {
		refs := make([]leadevents.BatchRef, len(some))
		for i, log := range some {
			refs[i] = leadevents.BatchRef{Org: org, Batch: log.Begun().Batch}
		}
		receipts, err := u.store.ReceiptsOf(ctx, refs, 0)
		if err != nil {
			return err
		}
		var group []Undoing
		keys := 0
		for i, log := range some {
			r, ok := receipts[refs[i]]
			if !ok {
				// ClickHouse was restored to a moment between: the batch is not there to be undone.
				u.cfg.Logger.Warn("a batch that is to be undone has no receipt", "organization", uint64(org), "batch", refs[i].Batch)
				r = leadevents.Receipt{Batch: refs[i].Batch, EventType: log.Begun().EventType, FinishedAt: log.At(Begun)}
			}
			if len(group) > 0 && keys+r.Inserted > groupUndoKeys {
				if err := do(group); err != nil {
					return err
				}
				group, keys = nil, 0
			}
			keys += r.Inserted
			group = append(group, undoing(log[0].Entry, log.At(Begun), r))
		}
		if err := do(group); err != nil {
			return err
		}
	}
	return nil
}

// pass is steps 1 to 7 of "An undo" in the package comment, of entries of which either all
// or none are collected.
func (u *Undos) pass(ctx context.Context, org leadevents.OrgID, group []Undoing, now leadevents.Millis) error {
	before, trusted := u.ledger.Believed(ctx)
	if !trusted {
		return nil // a rebuild may set keys of rows that it has read
	}
	settled := now.Add(-u.cfg.Settle)
	group, err := u.settled(ctx, org, group, settled)
	if err != nil || len(group) == 0 {
		return err
	}
	if err := u.collect(ctx, org, group, settled); err != nil {
		return err
	}
	if err := u.clear(ctx, org, group); err != nil {
		return err
	}
	released, err := u.store.Clock(ctx)
	if err != nil {
		return err
	}
	quiet, err := u.late(ctx, org, group, settled, released)
	if err != nil || !quiet {
		return err
	}
	after, trusted := u.ledger.Believed(ctx)
	if !trusted || before != after {
		u.turns.hurry()
		return nil
	}
	if err := u.store.MarkUndone(ctx, org, group); err != nil {
		return err
	}
	return u.record(ctx, org, group, Removed, 1)
}

// byAge tells batches that ended so long ago that nobody seals any more who peeked before
// they did, from the others.
func (u *Undos) byAge(group []Undoing, settled leadevents.Millis) (old, young []Undoing) {
	for _, b := range group {
		if b.FinishedAt.Add(u.cfg.Settle/8) < settled { // clocks differ
			old = append(old, b)
		} else {
			young = append(young, b)
		}
	}
	return old, young
}

// settled leaves out batches whose claimants may still be at work: a request that claimed
// a key before the batch sealed it.
func (u *Undos) settled(ctx context.Context, org leadevents.OrgID, group []Undoing, settled leadevents.Millis) (ready []Undoing, err error) {
	ready, young := u.byAge(group, settled)
	if len(young) == 0 {
		return ready, nil
	}
	claimed, err := u.store.Claimed(ctx, org, young)
	if err != nil {
		return nil, err
	}
	waits := map[leadevents.BatchID]bool{}
	for _, batch := range claimed {
		waits[batch] = true
	}
	for _, b := range young {
		if !waits[b.Batch] {
			ready = append(ready, b)
		}
	}
	return ready, nil
}

// collect writes down what is to be removed. Once that is recorded, all rows of the keys
// are never asked for again: new ones may be among them.
func (u *Undos) collect(ctx context.Context, org leadevents.OrgID, group []Undoing, settled leadevents.Millis) error {
	batches := make([]leadevents.BatchID, len(group))
	for i, b := range group {
		batches[i] = b.Batch
	}
	logs, err := u.store.Undos(ctx, org, batches)
	if err != nil {
		return err
	}
	done := map[uint64]bool{}
	for _, log := range logs {
		done[log[0].Entry] = log.has(Collected, 1) != nil
	}
	var first, again []Undoing
	for _, b := range group {
		if done[b.Entry] {
			again = append(again, b)
		} else {
			first = append(first, b)
		}
	}
	if len(again) > 0 {
		if _, err := u.store.CollectUndone(ctx, org, again, NextLook, settled); err != nil {
			return err
		}
	}
	if len(first) == 0 {
		return nil
	}
	counts, err := u.store.CollectUndone(ctx, org, first, FirstLook, settled)
	if err != nil {
		return err
	}
	records := make([]Record, len(first))
	for i, b := range first {
		records[i] = Record{Entry: b.Entry, Kind: Undo, Step: Collected, Pass: 1, Found: Found{Counts: counts[b.Entry]}}
	}
	return u.store.AppendJournal(ctx, org, records...)
}

// clear removes what is written down: rows, states, keys, in this order.
func (u *Undos) clear(ctx context.Context, org leadevents.OrgID, group []Undoing) error {
	if err := u.store.RemoveUndone(ctx, org, group); err != nil {
		return err
	}
	if err := u.store.RestateUndone(ctx, org, group); err != nil {
		return err
	}
	_, err := u.release(ctx, org, group)
	return err
}

func (u *Undos) release(ctx context.Context, org leadevents.OrgID, group []Undoing) (n int, err error) {
	err = u.store.UndoneKeys(ctx, org, group, func(keys []leadevents.Key, owners []leadevents.BatchID) error {
		gone, err := u.ledger.Release(ctx, keys, owners)
		n += gone
		u.metrics.keys.Add(float64(gone))
		return err
	})
	return n, err
}

// late removes rows of requests that were under way: they had peeked before one of the
// batches sealed a key, and lost it, and their row came after the others were written
// down. It is quiet when none are left, nor any of which that cannot be told yet.
func (u *Undos) late(ctx context.Context, org leadevents.OrgID, group []Undoing, settled, released leadevents.Millis) (quiet bool, err error) {
	_, young := u.byAge(group, settled)
	if len(young) == 0 {
		return true, nil
	}
	for range lateRounds {
		unsettled, err := u.store.Unsettled(ctx, org, young, settled, released)
		if err != nil {
			return false, err
		}
		if _, err := u.store.CollectUndone(ctx, org, young, NextLook, settled); err != nil {
			return false, err
		}
		rows, _, err := u.store.LeftUndone(ctx, org, young)
		switch {
		case err != nil:
			return false, err
		case rows > 0:
			err = u.clear(ctx, org, young)
		case unsettled == 0:
			return true, nil
		default:
			err = pause(ctx, 100*time.Millisecond)
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// finish is the last pass, and steps 8 to 10. Where something more is found, or it cannot
// be told yet, the next turn begins with another one.
func (u *Undos) finish(ctx context.Context, org leadevents.OrgID, group []Undoing) error {
	before, trusted := u.ledger.Believed(ctx)
	if !trusted {
		return nil
	}
	now, err := u.store.Clock(ctx)
	if err != nil {
		return err
	}
	if _, err := u.store.CollectUndone(ctx, org, group, LastLook, now); err != nil {
		return err
	}
	if err := u.clear(ctx, org, group); err != nil {
		return err
	}
	ended, err := barrier(ctx, u.store)
	if err != nil || !ended {
		u.blocked = time.Now()
		return err
	}
	if _, err := u.store.CollectUndone(ctx, org, group, LastLook, now); err != nil {
		return err
	}
	rows, states, err := u.store.LeftUndone(ctx, org, group)
	if err != nil {
		return err
	}
	keys, err := u.release(ctx, org, group)
	if err != nil {
		return err
	}
	after, trusted := u.ledger.Believed(ctx)
	if rows > 0 || states > 0 || keys > 0 || !trusted || before != after {
		u.turns.hurry()
		return nil
	}
	// Before the last record: who dies between finds nothing, and comes here again.
	if err := u.store.ForgetUndone(ctx, org, group); err != nil {
		return err
	}
	return u.record(ctx, org, group, Verified, 0)
}

// record says that a group has come to a step.
func (u *Undos) record(ctx context.Context, org leadevents.OrgID, group []Undoing, step Step, pass int) error {
	records := make([]Record, len(group))
	for i, b := range group {
		records[i] = Record{Entry: b.Entry, Kind: Undo, Step: step, Pass: pass}
	}
	if err := u.store.AppendJournal(ctx, org, records...); err != nil {
		return err
	}
	u.metrics.records.WithLabelValues(string(step)).Add(float64(len(group)))
	return nil
}
