package limits

import (
	"context"
	"strconv"
	"sync"
	"time"

	"leadevents"
)

// place is one that is held in Redis.
type place struct {
	l           *Limiter
	key, holder string

	mu       sync.Mutex // a renewal behind the release would hold it again
	renewal  *time.Timer
	released bool
}

func newPlace(l *Limiter, key string) *place {
	return &place{l: l, key: key, holder: strconv.FormatUint(leadevents.NewID(), 36)}
}

// keep renews the lease from now on.
func (p *place) keep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewal = time.AfterFunc(p.l.cfg.Lease/3, p.renew)
}

func (p *place) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.released {
		return
	}
	p.l.ask(context.Background(), renewScript, []string{p.key}, p.holder, p.l.cfg.Lease.Milliseconds())
	p.renewal.Reset(p.l.cfg.Lease / 3)
}

// release gives the place back.
func (p *place) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.released {
		return
	}
	p.released = true
	p.renewal.Stop()
	if p.l.asleep.Load() != 0 {
		p.giveBackLater(time.Now())
		return
	}
	if err := p.giveBack(); err != nil {
		p.l.silent(0, err)
		p.giveBackLater(time.Now())
	}
}

func (p *place) giveBack() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.l.cfg.Timeout)
	defer cancel()
	return p.l.redis.ZRem(ctx, p.key, p.holder).Err()
}

// giveBackLater tries again until the lease is over: a moment's silence of Redis must
// not take a place for half a minute.
func (p *place) giveBackLater(since time.Time) {
	time.AfterFunc(p.l.cfg.Pause, func() {
		if time.Since(since) < p.l.cfg.Lease && p.giveBack() != nil {
			p.giveBackLater(since)
		}
	})
}
