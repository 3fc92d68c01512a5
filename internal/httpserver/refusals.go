package httpserver

import (
	"sync/atomic"

	"golang.org/x/time/rate"
)

// refusals bounds the log lines of requests that were answered 503 or 429. While a store
// is dead, or above a limit, clients that do not wait get 20,000 of them a second, each for the same
// reason, and a disk full of such lines would be the next thing to fail.
type refusals struct {
	limit    *rate.Limiter
	unlogged atomic.Int64
}

// Enough to read what is wrong, and of how many requests; metrics count them all.
const (
	refusalLines      = 20 // a second
	refusalLinesBurst = 200
)

func newRefusals() *refusals {
	return &refusals{limit: rate.NewLimiter(refusalLines, refusalLinesBurst)}
}

// admit says whether this one gets a line, and how many before it got none.
func (r *refusals) admit() (unlogged int64, ok bool) {
	if !r.limit.Allow() {
		r.unlogged.Add(1)
		return 0, false
	}
	return r.unlogged.Swap(0), true
}
