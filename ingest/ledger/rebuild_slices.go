package ledger

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"leadevents"
)

// rebuildWorkers is how many slices of a rebuild are under way at once: one waits at each
// of its steps for ClickHouse, for this process or for Redis, and beside a load that keeps
// all of them busy it waits long.
const rebuildWorkers = 4

// run is a rebuild from its first slice to its last.
type run struct {
	l      *Ledger
	trust  *Trust
	lease  *lease
	slices []Stretch

	mu    sync.Mutex
	done  int           // slices from the first one on that have ended
	noted int64         // their keys
	ended map[int]int64 // slices behind them that have ended, and their keys
}

func (r *run) all(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(rebuildWorkers)
	for n := r.done; n < len(r.slices); n++ {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			keys, err := r.slice(ctx, r.slices[n])
			if err == nil {
				err = r.end(ctx, n, keys)
			}
			if err != nil {
				return fmt.Errorf("rebuild slice %d of %d: %w", n+1, len(r.slices), err)
			}
			return nil
		})
	}
	return group.Wait()
}

// slice sets the keys of one, and tells how many.
func (r *run) slice(ctx context.Context, s Stretch) (n int64, err error) {
	// Whoever meets a key that is set here is told duplicate, without a look at the
	// row: so its state must be there, whatever became of the insert. To add those of
	// all rows was a third of the load on ClickHouse, most of it merges.
	if err := r.l.archive.RepairStates(ctx, s, r.trust.Doubted); err != nil {
		return 0, err
	}
	err = r.l.archive.StreamKeys(ctx, s, func(keys []leadevents.Key, owners []leadevents.BatchID) error {
		started := time.Now()
		if err := r.lease.renew(ctx); err != nil {
			return err
		}
		if err := r.l.load(ctx, r.trust, keys, owners); err != nil {
			return err
		}
		n += int64(len(keys))
		r.l.progress.keys.Add(int64(len(keys)))
		r.l.met.rebuilt.Add(float64(len(keys)))
		return sleep(ctx, time.Duration(len(keys))*time.Second*rebuildWorkers/time.Duration(r.l.cfg.RebuildRate)-time.Since(started))
	})
	if err != nil {
		return n, err
	}
	// A merge may have kept the row of a contest's loser.
	return n, r.l.archive.StreamContests(ctx, s.From, s.To, func(contests []leadevents.Contest) error {
		if err := r.lease.renew(ctx); err != nil {
			return err
		}
		return r.l.reassign(ctx, r.trust, contests)
	})
}

// end notes that a slice has ended: in Redis once all before it have, where every
// process reads which keys are set, and whoever goes on after a crash where to begin.
func (r *run) end(ctx context.Context, n int, keys int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[n] = keys
	first := r.done
	for {
		more, ok := r.ended[r.done]
		if !ok {
			break
		}
		delete(r.ended, r.done)
		r.noted += more
		r.done++
	}
	if r.done == first {
		return nil
	}
	r.l.progress.slice.Store(int64(r.done))
	if err := r.l.control.HSet(ctx, r.l.rebuildKey(), "epoch", r.trust.Epoch, "from", int64(r.slices[r.done-1].From), "done", r.done, "keys", r.noted).Err(); err != nil {
		return fmt.Errorf("note %d slices of the rebuild: %w", r.done, err)
	}
	return nil
}
