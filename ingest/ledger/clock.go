package ledger

import (
	"sync"
	"time"

	"leadevents"
)

// clock notices when Redis' clock leaps, by comparing it with this process'
// monotonic one. It never replaces Redis' clock: every decision is by that.
type clock struct {
	mu    sync.Mutex
	redis leadevents.Millis // zero before the first look
	// Redis' time was redis somewhere between these two.
	before, after time.Time
}

// leap says how far Redis' clock is from where it should be, given that it was
// read between before and after; zero while it lies in that interval.
func (c *clock) leap(now leadevents.Millis, before, after time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.redis == 0 {
		return 0
	}
	earliest := c.redis.Add(before.Sub(c.after))
	latest := c.redis.Add(after.Sub(c.before)) + 1 // Millis are cut
	switch {
	case now < earliest:
		return time.Duration(now-earliest) * time.Millisecond
	case now > latest:
		return time.Duration(now-latest) * time.Millisecond
	}
	return 0
}

// set takes now, read between before and after, as right. Called at each look that
// found nothing wrong, so slow drift is followed and only leaps remain.
func (c *clock) set(now leadevents.Millis, before, after time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.redis, c.before, c.after = now, before, after
}
