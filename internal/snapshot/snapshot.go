package snapshot

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"
)

// Config bounds how old a copy may be.
type Config struct {
	Fresh time.Duration // then the store is asked whether anything has changed; default 500 ms
	Stale time.Duration // the oldest copy that is used; default 2 s
	Wait  time.Duration // the longest that a look waits for the store; default 1 s
}

// Snapshot is a copy that follows its source. It is safe for concurrent use.
type Snapshot[T any] struct {
	cfg  Config
	load func(ctx context.Context, old *T) (*T, error)

	current atomic.Pointer[copied[T]]
	changed atomic.Uint64 // how often Notify was called
	asking  chan struct{} // holds who asks
}

// copied is a copy, and when it was asked for.
type copied[T any] struct {
	value   *T
	asOf    time.Time
	changed uint64
}

// New makes one that has loaded nothing. load reads what is stored; old is the copy
// before, nil the first time, and may be returned where nothing has changed.
func New[T any](cfg Config, load func(ctx context.Context, old *T) (*T, error)) *Snapshot[T] {
	cfg.Fresh = cmp.Or(cfg.Fresh, 500*time.Millisecond)
	cfg.Stale = cmp.Or(cfg.Stale, 2*time.Second)
	cfg.Wait = cmp.Or(cfg.Wait, time.Second)
	return &Snapshot[T]{cfg: cfg, load: load, asking: make(chan struct{}, 1)}
}

// Notify says that the source may have changed: copies from before are not used any
// more in this process.
func (s *Snapshot[T]) Notify() { s.changed.Add(1) }

// Get is a copy that may be used, or why there is none.
func (s *Snapshot[T]) Get(ctx context.Context) (*T, error) {
	c := s.current.Load()
	if s.within(c, s.cfg.Fresh) {
		return c.value, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Wait)
	defer cancel()
	if s.within(c, s.cfg.Stale) {
		select {
		case s.asking <- struct{}{}:
		default:
			return c.value, nil // another asks
		}
	} else {
		select {
		case s.asking <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() { <-s.asking }()
	if c = s.current.Load(); s.within(c, s.cfg.Fresh) {
		return c.value, nil // while we waited
	}
	next := &copied[T]{asOf: time.Now(), changed: s.changed.Load()} // before the store is asked
	var old *T
	if c != nil {
		old = c.value
	}
	var err error
	if next.value, err = s.load(ctx, old); err != nil {
		if s.within(c, s.cfg.Stale) {
			return c.value, nil
		}
		return nil, err
	}
	s.current.Store(next)
	return next.value, nil
}

// within tells whether a copy is there, knows of all changes, and is no older than d.
// The wall clock is asked too: it goes on while the machine sleeps.
func (s *Snapshot[T]) within(c *copied[T], d time.Duration) bool {
	if c == nil || c.changed != s.changed.Load() {
		return false
	}
	now := time.Now()
	wall := now.Round(0).Sub(c.asOf.Round(0))
	return now.Sub(c.asOf) <= d && wall <= d && wall >= -d
}
