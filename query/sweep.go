package query

import (
	"context"
	"log/slog"
	"time"
)

const (
	sweepFirst = time.Minute // servers that are restarted again and again sweep too
	sweepEvery = 15 * time.Minute
	sweepLimit = 10 * time.Minute
)

// sweepRegularly does what has to be done now and then, one process for all, until
// ctx ends: to remove what nobody can ask for any more, mostly.
func sweepRegularly(ctx context.Context, t turns, what string, log *slog.Logger, sweep func(context.Context) error) error {
	next := time.NewTimer(sweepFirst)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
			next.Reset(sweepEvery)
		}
		if err := sweepOnce(ctx, t, what, sweep); err != nil && ctx.Err() == nil {
			log.Warn("the sweep of "+what+" failed; the next is in "+sweepEvery.String(), "error", err)
		}
	}
}

func sweepOnce(ctx context.Context, t turns, what string, sweep func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	release, free, err := t.try(ctx, "sweep of "+what)
	if err != nil || !free {
		return err
	}
	defer release()
	return sweep(ctx)
}
