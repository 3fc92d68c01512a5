package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"leadevents"
)

// release deletes those locks that are still ours.
var release = redis.NewScript(`
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
return 0`)

// Lock takes named locks for at most d, in one round trip, and reports which
// were free. It is a courtesy, not a guarantee (Redis may lose it): what two
// holders at once would store is still counted once, by the seals. A name is to
// stand there once. unlock gives back what it took.
func (l *Ledger) Lock(ctx context.Context, names []string, d time.Duration) (held []bool, unlock func(), err error) {
	if _, err := l.current(ctx); err != nil {
		return nil, nil, err
	}
	holder := leadevents.NewBatchID().String()
	keys := make([]string, len(names))
	pipe := l.data.Pipeline()
	taken := make([]*redis.Cmd, len(names))
	for i, name := range names {
		keys[i] = l.cfg.Prefix + "lock:" + name
		// GET: go-redis may send the pipeline twice, and then the lock is ours.
		taken[i] = pipe.Do(ctx, "set", keys[i], holder, "nx", "get", "px", d.Milliseconds())
	}
	_, err = pipe.Exec(ctx)
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	held = make([]bool, len(names))
	var ours []string
	for i := range taken {
		before, failed := taken[i].Text()
		switch {
		case failed != nil && !errors.Is(failed, redis.Nil):
			err = errors.Join(err, failed)
		case failed != nil || before == holder:
			held[i] = true
			ours = append(ours, keys[i])
		}
	}
	if err != nil {
		l.unlock(ctx, keys, holder) // whichever it had taken
		return nil, nil, l.unavailable(fmt.Errorf("take %d locks: %w", len(names), err))
	}
	return held, func() { l.unlock(ctx, ours, holder) }, nil
}

func (l *Ledger) unlock(ctx context.Context, keys []string, holder string) {
	if len(keys) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cfg.Timeout)
	defer cancel()
	if err := release.Run(ctx, l.data, keys, holder).Err(); err != nil {
		l.cfg.Logger.Warn("locks could not be released; they end by themselves", "locks", len(keys), "error", err)
	}
}
