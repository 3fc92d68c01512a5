package limits

import (
	"time"

	"leadevents"
)

// question is what a call asks for, of that which is limited. It is comparable.
type question struct {
	requests, rows bucketQuestion
	places         int // there are, of which one is wanted; 0: none is
}

// bucketQuestion is about one bucket; a rate of 0 is not asked.
type bucketQuestion struct {
	rate  int // a second, and the most that it holds
	take  int
	least int // what must be in it
}

// anything is always in a bucket, also in one that owes much.
const anything = -1 << 52

func newQuestion(limits *leadevents.Limits, want Want) (q question) {
	if rate := limits[leadevents.RequestsPerSecond]; rate > 0 && want.Requests > 0 {
		q.requests = bucketQuestion{rate: rate, take: want.Requests, least: 1}
	}
	if rate := limits[leadevents.RowsPerSecond]; rate > 0 && want.Rows != 0 {
		q.rows = bucketQuestion{rate: rate, take: max(want.Rows, 0), least: 1}
	}
	if want.Place != 0 {
		q.places = limits[want.Place]
	}
	return q
}

// args is the question as admit.lua takes it.
func (q question) args(held *place, lease time.Duration) []any {
	holder := ""
	if held != nil {
		holder = held.holder
	}
	return []any{
		q.requests.rate, q.requests.take, q.requests.least,
		q.rows.rate, q.rows.take, q.rows.least,
		q.places, holder, lease.Milliseconds(),
	}
}
