package retention

import (
	"context"
	"time"

	"leadevents"
)

const (
	sweepFirst = time.Minute // servers that are restarted again and again sweep too
	sweepLimit = 30 * time.Minute
	sweepLock  = 30 * time.Second
	// clockSlack is for clocks that differ, and requests that were under way.
	clockSlack = time.Hour
	// idempotentLife is how long a key stays at least that was sealed under an Idempotency-Key.
	idempotentLife = leadevents.IdempotencyLife
	day            = 24 * time.Hour
)

// Grace is how long after it has expired an event of which so many days are kept is
// removed: package comment, "The grace".
func (c Config) Grace(days int) time.Duration {
	return c.Slot + max(idempotentLife, c.ShortHorizon, c.Horizon-time.Duration(days)*day) + clockSlack
}

// before is the moment before which events may be removed: whole days, so that there is
// something to remove once a day and not with every sweep.
func (c Config) before(days int, now leadevents.Millis) leadevents.Millis {
	if days == Forever {
		return leadevents.MinOccurredAt
	}
	border := BorderOf(days, now.Add(-c.Grace(days)))
	return border - border%leadevents.Millis(day/time.Millisecond)
}

// Run removes what has expired, one process for all, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	next := time.NewTimer(min(sweepFirst, k.cfg.Every))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
			next.Reset(k.cfg.Every)
		}
		if err := k.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			k.cfg.Logger.Warn("expired events could not be removed; they are the next time", "error", err)
		}
	}
}

func (k *Keeper) sweepOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	held, release, err := k.locks.Hold(ctx, "retention", sweepLock)
	if err != nil || !held {
		return err
	}
	defer release()
	removed, err := k.Sweep(ctx)
	if removed > 0 {
		k.cfg.Logger.Info("removed expired events", "events", removed)
	}
	return err
}

// Sweep removes what has expired, of all organizations; it is safe whoever else does.
func (k *Keeper) Sweep(ctx context.Context) (removed uint64, err error) {
	all, err := k.load(ctx, nil)
	if err != nil {
		return 0, err
	}
	now, err := k.store.Clock(ctx)
	if err != nil {
		return 0, err
	}
	for org, rules := range *all {
		types := rules.Names()
		if rules.Days != Forever {
			if types, err = k.store.StoredTypes(ctx, org); err != nil {
				return removed, err
			}
		}
		for _, eventType := range types {
			before := k.cfg.before(rules.Of(eventType), now)
			if before <= leadevents.MinOccurredAt {
				continue
			}
			n, err := k.store.Expire(ctx, org, eventType, before)
			removed += n
			k.removed.Add(float64(n))
			if err != nil {
				return removed, err
			}
		}
	}
	if removed > 0 || k.purged.IsZero() { // of what a process before has removed
		if time.Since(k.purged) >= day {
			if err := k.store.Purge(ctx); err != nil {
				return removed, err
			}
			k.purged = time.Now()
		}
	}
	return removed, nil
}
