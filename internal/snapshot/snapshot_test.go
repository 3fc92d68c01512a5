package snapshot_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leadevents/internal/snapshot"
)

// source is a number that changes, and can be away.
type source struct {
	value, asked atomic.Int64
	away         atomic.Bool
}

func (s *source) load(_ context.Context, old *int64) (*int64, error) {
	s.asked.Add(1)
	if s.away.Load() {
		return nil, errors.New("away")
	}
	v := s.value.Load()
	if old != nil && *old == v {
		return old, nil
	}
	return &v, nil
}

func TestACopyIsAskedForWhenItIsNotFreshAndRefusedWhenItIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var from source
		s := snapshot.New(snapshot.Config{}, from.load)
		see := func(want int64, asked int64) {
			t.Helper()
			got, err := s.Get(t.Context())
			if err != nil || *got != want || from.asked.Load() != asked {
				t.Errorf("%v, %v, asked %d times; want %d, %d times", got, err, from.asked.Load(), want, asked)
			}
		}
		see(0, 1)
		from.value.Store(1)
		time.Sleep(400 * time.Millisecond)
		see(0, 1)
		time.Sleep(200 * time.Millisecond)
		see(1, 2)
		from.value.Store(2)
		s.Notify()
		see(2, 3)
		from.away.Store(true)
		time.Sleep(1900 * time.Millisecond)
		see(2, 4)
		time.Sleep(200 * time.Millisecond)
		if got, err := s.Get(t.Context()); err == nil {
			t.Errorf("a copy that is too old was used: %d", *got)
		}
		from.away.Store(false)
		see(2, 6)
		from.away.Store(true)
		s.Notify()
		if got, err := s.Get(t.Context()); err == nil {
			t.Errorf("a copy from before a known change was used: %d", *got)
		}
	})
}

// While one asks, others use what is there; nobody waits longer than he must.
func TestOneAsksForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		var slow atomic.Bool
		s := snapshot.New(snapshot.Config{}, func(ctx context.Context, old *int64) (*int64, error) {
			n := asked.Add(1)
			if slow.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return &n, nil
		})
		if _, err := s.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		slow.Store(true)
		time.Sleep(600 * time.Millisecond)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if got, err := s.Get(t.Context()); err != nil || *got != 1 {
					t.Errorf("%v, %v", got, err)
				}
			})
		}
		all.Wait()
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(2 * time.Second)
		began := time.Now()
		for range 3 {
			all.Go(func() {
				if _, err := s.Get(t.Context()); err == nil {
					t.Error("a copy that is too old was used")
				}
			})
		}
		all.Wait()
		if d := time.Since(began); d > 1100*time.Millisecond {
			t.Errorf("waited %s", d)
		}
	})
}
