package ledger

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"leadevents"
)

// Every process notes at its beats that it lives, in a sorted set of names by Redis'
// clock, and takes its name out when it has stopped and owes nothing. One whose name
// stays behind has died, or stopped before it could mend what it had sent: of that
// nothing is known but the time, so whoever looks next repairs the states of all rows
// from then, once what was on its way has landed. Where the set is lost with Redis, each
// process does so for all servers of that time (repairAfterStart).

// namesAtOnce bounds how many names one repair is for. More stay for the next.
const namesAtOnce = 1000

// note says that this process lives.
func (l *Ledger) note(ctx context.Context, now leadevents.Millis) error {
	if err := l.control.ZAdd(ctx, l.serversKey(), redis.Z{Score: float64(now), Member: l.process}).Err(); err != nil {
		return fmt.Errorf("note that this server lives: %w", err)
	}
	return nil
}

// Leave takes this process' name out, after the last insert has ended well or has been
// mended. A beat under way may put it in again: then others work for nothing, which is
// better than to wait here for a look that waits for Redis.
func (l *Ledger) Leave(ctx context.Context) error {
	l.watch.left.Store(true)
	if err := l.control.ZRem(ctx, l.serversKey(), l.process).Err(); err != nil {
		return fmt.Errorf("note that this server has ended: %w", err)
	}
	return nil
}

// repairForTheDead adds the states of rows that servers may have left without them
// which are heard of no more. Several processes may do the same: it does no harm.
func (l *Ledger) repairForTheDead(ctx context.Context, now leadevents.Millis) error {
	grace := l.grace()
	names, err := l.control.ZRangeByScoreWithScores(ctx, l.serversKey(), &redis.ZRangeBy{
		Min: "-inf", Max: strconv.FormatInt(int64(now.Add(-grace)), 10), Count: namesAtOnce,
	}).Result()
	if err != nil {
		return fmt.Errorf("look for servers that died: %w", err)
	}
	var gone []any
	var first, last leadevents.Millis
	for _, z := range names {
		if z.Member == l.process { // it stood still; what it sends it mends
			continue
		}
		at := leadevents.Millis(z.Score)
		if len(gone) == 0 {
			first = at
		}
		gone, last = append(gone, z.Member), at
	}
	if len(gone) == 0 {
		return nil
	}
	s := Stretch{To: EveryMoment, IngestedSince: first.Add(-l.before()), IngestedUntil: last.Add(grace)}
	l.cfg.Logger.Info("servers ended without a word: states of their rows are repaired", "servers", len(gone))
	l.repairStates(s, true, func() {
		// One that lives after all notes it at its next beat. Where this fails it is
		// all done once more.
		if err := l.control.ZRem(l.life, l.serversKey(), gone...).Err(); err != nil && l.life.Err() == nil {
			l.cfg.Logger.Warn("the names of servers that died could not be taken out; their rows are repaired again", "error", err)
		}
	})
	return nil
}
