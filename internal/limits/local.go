package limits

import (
	"math"
	"sync"
	"time"
)

// maxKept bounds what a process counts for itself, at about 100 bytes each.
const maxKept = 100_000

// local counts for one process.
type local struct {
	now func() time.Time

	mu      sync.Mutex
	buckets map[string]*bucket
	places  map[string]int // taken
}

// bucket holds less than nothing after a call that was larger than what was left.
type bucket struct {
	left float64
	at   time.Time
	full time.Time // from when on it is as if it were not there
}

func newLocal(now func() time.Time) *local {
	return &local{now: now, buckets: map[string]*bucket{}, places: map[string]int{}}
}

// admit does what admit.lua does.
func (l *local) admit(keys []string, q question) (refusing int, wait time.Duration, release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	asked := [...]bucketQuestion{q.requests, q.rows}
	var buckets [len(asked)]*bucket
	for i, b := range asked {
		if b.rate == 0 {
			continue
		}
		buckets[i] = l.bucket(keys[i], b.rate, now)
		if lacks := float64(b.least) - buckets[i].left; lacks > 0.001 {
			return i + 1, time.Duration(math.Ceil(lacks/float64(b.rate)*1000)) * time.Millisecond, nil
		}
	}
	if q.places > 0 {
		if l.places[keys[2]] >= q.places {
			return 3, 0, nil
		}
		release = l.hold(keys[2])
	}
	for i, b := range asked {
		if buckets[i] != nil {
			buckets[i].left -= float64(b.take)
			buckets[i].full = now.Add(time.Duration((float64(b.rate) - buckets[i].left) / float64(b.rate) * float64(time.Second)))
		}
	}
	return 0, 0, release
}

// bucket is the bucket of that name as it is now.
func (l *local) bucket(name string, rate int, now time.Time) *bucket {
	b := l.buckets[name]
	if b == nil {
		l.forget(now)
		b = &bucket{left: float64(rate), at: now}
		l.buckets[name] = b
	}
	b.left = min(float64(rate), b.left+max(0, now.Sub(b.at).Seconds())*float64(rate))
	b.at = now
	return b
}

// forget makes room: of those that are full again nothing is lost.
func (l *local) forget(now time.Time) {
	if len(l.buckets) < maxKept {
		return
	}
	for name, b := range l.buckets {
		if !now.Before(b.full) {
			delete(l.buckets, name)
		}
	}
	for name := range l.buckets {
		if len(l.buckets) < maxKept {
			break
		}
		delete(l.buckets, name)
	}
}

// hold takes a place; mu is held.
func (l *local) hold(name string) (release func()) {
	l.places[name]++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.places[name]--; l.places[name] == 0 {
			delete(l.places, name)
		}
	})
}
