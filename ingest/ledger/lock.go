package ledger

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"leadevents"
)

// release deletes a lock that is still ours.
var release = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`)

// Lock takes a named lock for at most d and reports whether it was free. It is a
// courtesy, not a guarantee (Redis may lose it): what two holders at once would
// store is still counted once, by the seals.
func (l *Ledger) Lock(ctx context.Context, name string, d time.Duration) (unlock func(), ok bool, err error) {
	if _, err := l.current(ctx); err != nil {
		return nil, false, err
	}
	key, holder := l.cfg.Prefix+"lock:"+name, leadevents.NewBatchID().String()
	ok, err = l.data.SetNX(ctx, key, holder, d).Result()
	if err != nil {
		return nil, false, l.unavailable(err)
	}
	if !ok {
		// go-redis may have sent it twice: then the lock is ours.
		if held, err := l.data.Get(ctx, key).Result(); err != nil || held != holder {
			return nil, false, nil
		}
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cfg.Timeout)
		defer cancel()
		if err := release.Eval(ctx, l.data, []string{key}, holder).Err(); err != nil {
			l.cfg.Logger.Warn("lock could not be released; it ends by itself", "error", err)
		}
	}, true, nil
}
