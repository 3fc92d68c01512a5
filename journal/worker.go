package journal

import (
	"cmp"
	"context"
	"slices"
	"time"

	"leadevents"
)

// Bounds of the worker.
const (
	// groupEntries is how many erasures of one organization go through the steps
	// together: a deletion costs about the same for one as for a hundred.
	groupEntries = 100
	// workLock is how long others keep away from a worker that died.
	workLock = 15 * time.Second
	// barrierWait is how long the end of other statements is waited for before other
	// entries have their turn.
	barrierWait = 5 * time.Second
	// blockedPause is for how long it is not tried again when others went on writing: a
	// materialization may take half an hour.
	blockedPause = 10 * time.Second
	// purgeLook is how often it is looked, at most, whether a purge is due or has ended.
	purgeLook = 30 * time.Second
	// longestPause is between two tries while a store is away.
	longestPause = 10 * time.Second
)

// Run works at entries, of all processes, until ctx ends. What is under way then is gone
// on with by another process, or at the next start.
func (l *Leads) Run(ctx context.Context) error {
	looked := time.Time{}
	return l.turns.run(ctx, func(ctx context.Context) error {
		err := l.turns.work(ctx)
		if err == nil && time.Since(looked) >= min(purgeLook, max(l.cfg.PurgeAfter/4, l.cfg.Poll)) {
			looked = time.Now()
			err = l.purge(ctx)
		}
		return err
	})
}

// workAt brings the entries of one organization on, each by a step of its life.
func (l *Leads) workAt(ctx context.Context, org leadevents.OrgID, logs []Log) error {
	now, err := l.store.Clock(ctx)
	if err != nil {
		return err
	}
	var fresh, due, verified []Log
	for _, log := range logs {
		switch {
		case log.Begun() == nil:
		case log.At(Verified) != 0:
			verified = append(verified, log)
		case log.Passes() == 0:
			fresh = append(fresh, log)
		case now >= log.At(Begun).Add(l.cfg.Grace):
			due = append(due, log)
		}
	}
	for group := range slices.Chunk(fresh, groupEntries) {
		if _, err := l.pass(ctx, org, group); err != nil {
			return err
		}
	}
	for group := range slices.Chunk(due, groupEntries) {
		if time.Since(l.blocked) < blockedPause {
			break
		}
		if err := l.finish(ctx, org, group); err != nil {
			return err
		}
	}
	if len(verified) > 0 { // and their process died before the phones were gone
		return l.store.BlankPhones(ctx, org, ids(verified))
	}
	return nil
}

func ids(group []Log) []uint64 {
	entries := make([]uint64, len(group))
	for i, log := range group {
		entries[i] = log[0].Entry
	}
	return entries
}

func phones(group []Log) []leadevents.Phone {
	all := make([]leadevents.Phone, len(group))
	for i, log := range group {
		all[i] = log.Begun().Phone
	}
	return all
}

// pass is steps 1 to 7 of the package comment; found is how much there was.
func (l *Leads) pass(ctx context.Context, org leadevents.OrgID, group []Log) (found uint64, err error) {
	entries := ids(group)
	collected, err := l.store.Collect(ctx, org, entries)
	if err != nil {
		return 0, err
	}
	var (
		records, removed []Record
		layers           []leadevents.Layer
		lists            []uint64
		nothing          = true // is there, nor was when the pass was cut off, and it is not the first
	)
	for i := range group {
		entry, pass := group[i][0].Entry, group[i].Passes()+1
		f := collected[entry]
		found += f.Counts.Sum()
		nothing = nothing && pass > 1 && f.Counts.Sum() == 0 && group[i].has(Collected, pass) == nil
		c := Record{Entry: entry, Kind: Erase, Step: Collected, Pass: pass, Found: f}
		if f.Counts.Sum() > 0 {
			records = append(records, c)
		}
		ofLog, ofLists := append(group[i], c).Touched()
		layers, lists = append(layers, ofLog...), append(lists, ofLists...)
		removed = append(removed, Record{Entry: entry, Kind: Erase, Step: Removed, Pass: pass})
	}
	if nothing {
		_, err := l.ledger.Forget(ctx, org, phones(group))
		return 0, err
	}
	if len(records) > 0 {
		if err := l.store.AppendJournal(ctx, org, records...); err != nil {
			return found, err
		}
	}
	for _, step := range []func(context.Context, leadevents.OrgID, []uint64) error{l.store.RemoveEvents, l.store.RemoveStates, l.store.RemoveElsewhere} {
		if err := step(ctx, org, entries); err != nil {
			return found, err
		}
	}
	slices.Sort(layers)
	if err := l.store.RecountLayers(ctx, org, slices.Compact(layers)); err != nil {
		return found, err
	}
	slices.Sort(lists)
	if err := l.store.RehashLists(ctx, org, slices.Compact(lists)); err != nil {
		return found, err
	}
	if _, err := l.ledger.Forget(ctx, org, phones(group)); err != nil {
		return found, err
	}
	if err := l.store.AppendJournal(ctx, org, removed...); err != nil {
		return found, err
	}
	l.metrics.removed.Add(float64(found))
	l.count(Removed, len(group))
	return found, nil
}

// finish is another pass, and steps 8 to 10 if it was the last. Where it was not, or it
// cannot be told yet, the next turn begins with another one.
func (l *Leads) finish(ctx context.Context, org leadevents.OrgID, group []Log) error {
	before, trusted := l.ledger.Believed(ctx)
	if !trusted {
		return nil // a rebuild may set keys of rows that it has read
	}
	if _, err := l.pass(ctx, org, group); err != nil {
		return err
	}
	ended, err := barrier(ctx, l.store)
	if err != nil || !ended {
		l.blocked = time.Now()
		return err
	}
	entries := ids(group)
	left, err := l.store.Collect(ctx, org, entries)
	if err != nil {
		return err
	}
	for _, f := range left {
		if f.Counts.Sum() > 0 {
			l.turns.hurry()
			return nil
		}
	}
	keys, err := l.ledger.Forget(ctx, org, phones(group))
	if err != nil {
		return err
	}
	after, trusted := l.ledger.Believed(ctx)
	if keys > 0 || !trusted || before != after {
		l.turns.hurry()
		return nil
	}
	records := make([]Record, len(entries))
	for i, entry := range entries {
		records[i] = Record{Entry: entry, Kind: Erase, Step: Verified}
	}
	if err := l.store.AppendJournal(ctx, org, records...); err != nil {
		return err
	}
	l.count(Verified, len(group))
	return l.store.BlankPhones(ctx, org, entries)
}

// barrier waits for the statements that write at this moment; false if they go on.
func barrier(ctx context.Context, store interface {
	Writers(ctx context.Context) ([]string, error)
	EndedWriters(ctx context.Context, ids []string) (bool, error)
}) (ended bool, err error) {
	writers, err := store.Writers(ctx)
	if err != nil || len(writers) == 0 {
		return err == nil, err
	}
	deadline := time.Now().Add(barrierWait)
	for pause := 20 * time.Millisecond; time.Now().Before(deadline); pause = min(2*pause, 500*time.Millisecond) {
		if ended, err = store.EndedWriters(ctx, writers); ended || err != nil {
			return ended, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(pause):
		}
	}
	return false, nil
}

// purge has what was deleted leave the disk when that is due, and writes so when it has.
func (l *Leads) purge(ctx context.Context) error {
	unpurged, err := l.store.Unpurged(ctx)
	if err != nil || len(unpurged) == 0 {
		return err
	}
	now, err := l.store.Clock(ctx)
	if err != nil {
		return err
	}
	oldest := slices.MinFunc(unpurged, func(a, b Unpurged) int { return cmp.Compare(a.VerifiedAt, b.VerifiedAt) })
	if now < oldest.VerifiedAt.Add(l.cfg.PurgeAfter) {
		return nil
	}
	held, release, err := l.locks.Hold(ctx, "journal purge", workLock)
	if err != nil || !held {
		return err
	}
	defer release()
	if oldest.VerifiedAt >= l.purged.began { // the last one, if any by this process, began before
		began := now
		if err := l.store.Purge(ctx); err != nil {
			return err
		}
		if err := l.ledger.Compact(ctx); err != nil {
			l.cfg.Logger.Warn("Redis' log on the disk could not be written anew; erased keys leave it when Redis does so by itself", "error", err)
		}
		ended, err := l.store.Clock(ctx)
		if err != nil {
			return err
		}
		l.purged.began, l.purged.ended = began, ended
	}
	gone, err := l.store.Purged(ctx, l.purged.ended)
	if err != nil || !gone {
		return err
	}
	records := map[leadevents.OrgID][]Record{}
	for _, u := range unpurged {
		if u.VerifiedAt < l.purged.began {
			records[u.Org] = append(records[u.Org], Record{Entry: u.Entry, Kind: u.Kind, Step: Purged})
		}
	}
	for org, all := range records {
		if err := l.store.AppendJournal(ctx, org, all...); err != nil {
			return err
		}
		l.count(Purged, len(all))
	}
	return nil
}

func (l *Leads) count(step Step, n int) {
	l.metrics.records.WithLabelValues(string(step)).Add(float64(n))
}
