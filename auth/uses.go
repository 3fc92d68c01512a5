package auth

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"leadevents"
)

// useCount is one key's uses that are not written yet, and its last use.
type useCount struct {
	org     leadevents.OrgID
	key     string
	last    atomic.Int64 // ms; zero: not used in this process
	pending atomic.Uint64
}

// add counts a use: two atomic operations, no lock. Two requests of the same
// moment may leave the earlier one's time; they differ by microseconds.
func (u *useCount) add(now time.Time) {
	u.pending.Add(1)
	if ms := now.UnixMilli(); ms > u.last.Load() {
		u.last.Store(ms)
	}
}

// useCounts holds the counts of all keys; they outlive the views that point to
// them. It is bounded by the number of keys.
type useCounts struct {
	mu    sync.Mutex // not taken by requests
	byKey map[useID]*useCount
}

type useID struct {
	org leadevents.OrgID
	key string
}

func (u *useCounts) of(org leadevents.OrgID, key string) *useCount {
	u.mu.Lock()
	defer u.mu.Unlock()
	id := useID{org, key}
	c, ok := u.byKey[id]
	if !ok {
		if u.byKey == nil {
			u.byKey = map[useID]*useCount{}
		}
		c = &useCount{org: org, key: key}
		u.byKey[id] = c
	}
	return c
}

// take empties the counts into a batch.
func (u *useCounts) take() []Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	var batch []Use
	for _, c := range u.byKey {
		if n := c.pending.Swap(0); n > 0 {
			batch = append(batch, Use{Org: c.org, KeyID: c.key, Uses: n, LastUsedAt: time.UnixMilli(c.last.Load()).UTC()})
		}
	}
	return batch
}

// giveBack is for a batch that was not written. If it was written after all and
// only the reply was lost, these uses count twice: the counts are there to tell
// whether a key is still in use, and too many errs on the safe side.
func (u *useCounts) giveBack(batch []Use) {
	for _, b := range batch {
		u.of(b.Org, b.KeyID).pending.Add(b.Uses)
	}
}

// addTo adds the uses that are still here to what the store knows.
func (u *useCounts) addTo(org leadevents.OrgID, stored map[string]Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, c := range u.byKey {
		last := c.last.Load()
		if id.org != org || last == 0 {
			continue
		}
		use := stored[id.key]
		use.Uses += c.pending.Load()
		if at := time.UnixMilli(last).UTC(); at.After(use.LastUsedAt) {
			use.LastUsedAt = at
		}
		stored[id.key] = use
	}
}

// flushUntil writes the counts every FlushInterval, and once more when ctx ends.
func (d *Directory) flushUntil(ctx context.Context) {
	tick := time.NewTicker(d.cfg.FlushInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.flush(ctx)
		case <-ctx.Done():
			d.flush(context.WithoutCancel(ctx))
			return
		}
	}
}

func (d *Directory) flush(ctx context.Context) {
	batch := d.uses.take()
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := d.store.AddUses(ctx, batch); err != nil {
		d.uses.giveBack(batch)
		d.log.Warn("use counts of keys could not be written, trying again later", "keys", len(batch), "error", err)
	}
}
