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

// renew prolongs a lock that is still ours.
var renew = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0`)

// Lock takes named locks for at most d, in one round trip, and reports which
// were free. It is a courtesy, not a guarantee (Redis may lose it): what two
// holders at once would store is still counted once, by the seals. A name is to
// stand there once. unlock gives back what it took.
func (l *Ledger) Lock(ctx context.Context, names []string, d time.Duration) (held []bool, unlock func(), err error) {
	holder := leadevents.NewBatchID().String()
	held, ours, err := l.lock(ctx, names, holder, d)
	if err != nil {
		return nil, nil, err
	}
	return held, func() { l.unlock(ctx, ours, holder) }, nil
}

// Hold takes one named lock, if it is free, for work of any length: it is renewed
// until release, and outlives its holder by at most d. It is the same courtesy as
// Lock.
func (l *Ledger) Hold(ctx context.Context, name string, d time.Duration) (held bool, release func(), err error) {
	holder := leadevents.NewBatchID().String()
	free, ours, err := l.lock(ctx, []string{name}, holder, d)
	if err != nil || !free[0] {
		return false, nil, err
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(d / 3)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				l.prolong(ctx, ours[0], holder, d)
			}
		}
	}()
	return true, func() {
		close(stop)
		<-stopped
		l.unlock(ctx, ours, holder)
	}, nil
}

func (l *Ledger) prolong(ctx context.Context, key, holder string, d time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cfg.Timeout)
	defer cancel()
	if err := renew.Run(ctx, l.data, []string{key}, holder, d.Milliseconds()).Err(); err != nil {
		l.cfg.Logger.Warn("a lock could not be renewed; it may end before the work that it is for", "error", err)
	}
}

// lock takes those of the locks that are free; ours are their keys.
func (l *Ledger) lock(ctx context.Context, names []string, holder string, d time.Duration) (held []bool, ours []string, err error) {
	if _, err := l.current(ctx); err != nil {
		return nil, nil, err
	}
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
	return held, ours, nil
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
