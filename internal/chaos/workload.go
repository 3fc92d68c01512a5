package chaos

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// Event is one key: organization, event type, phone and millisecond.
type Event struct {
	Org   int
	Type  string
	Phone uint64
	At    int64 // ms since 1970
}

// Call is one body that clients send, once or many times.
type Call struct {
	ID         int
	Org        int
	Type       string
	Rows       []int // the key of each row, an index into the workload's keys; -1 is a row to be rejected
	Idempotent bool  // sent with an Idempotency-Key
}

// Key is the call's Idempotency-Key, empty without one.
func (c *Call) Key(run string) string {
	if !c.Idempotent {
		return ""
	}
	return "chaos-" + run + "-" + strconv.Itoa(c.ID)
}

// Rejected is how many rows must be rejected.
func (c *Call) Rejected() int {
	n := 0
	for _, k := range c.Rows {
		if k < 0 {
			n++
		}
	}
	return n
}

// Distinct is the keys of the call, each once.
func (c *Call) Distinct() []int {
	seen := make(map[int]bool, len(c.Rows))
	keys := make([]int, 0, len(c.Rows))
	for _, k := range c.Rows {
		if k >= 0 && !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys
}

// Workload makes calls whose keys overlap: most rows repeat a key that another
// call has brought a moment ago, or ever. Times lie around all that decides how
// a key is looked up: now, the horizon, long ago, the future.
type Workload struct {
	horizon time.Duration

	mu       sync.Mutex
	events   []Event
	families []family
	calls    []*Call
}

type family struct {
	org       int
	eventType string
	keys      []int
}

// NewWorkload makes calls for these organizations, with two event types each.
func NewWorkload(organizations []int, horizon time.Duration) *Workload {
	w := &Workload{horizon: horizon}
	for _, org := range organizations {
		for _, eventType := range []string{"opened", "bought"} {
			w.families = append(w.families, family{org: org, eventType: eventType})
		}
	}
	return w
}

// Draw makes the next call.
func (w *Workload) Draw(random *rand.Rand, now time.Time) *Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &w.families[random.IntN(len(w.families))]
	call := &Call{ID: len(w.calls), Org: f.org, Type: f.eventType, Idempotent: random.IntN(4) == 0}
	size := 1
	switch n := random.IntN(100); {
	case n < 50:
	case n < 90:
		size = 2 + random.IntN(20)
	case n < 98:
		size = 50 + random.IntN(300)
	default:
		size = 1001 + random.IntN(1000) // beyond ingest.small_rows: a group of its own
	}
	for range size {
		call.Rows = append(call.Rows, w.row(random, f, now))
	}
	w.calls = append(w.calls, call)
	return call
}

// firstPhone is the phone of key 0: German mobile numbers, which are possible.
const firstPhone = 4915100000000

// hot is how many of a type's newest keys are repeated most.
const hot = 300

func (w *Workload) row(random *rand.Rand, f *family, now time.Time) int {
	switch n := random.IntN(100); {
	case n < 3:
		return -1
	case n < 35 || len(f.keys) == 0:
		// Numbered phones: no event is drawn twice, so a key has one index.
		w.events = append(w.events, Event{
			Org: f.org, Type: f.eventType,
			Phone: uint64(firstPhone + len(w.events)), At: w.moment(random, now).UnixMilli(),
		})
		f.keys = append(f.keys, len(w.events)-1)
		return len(w.events) - 1
	case n < 85:
		return f.keys[len(f.keys)-1-random.IntN(min(hot, len(f.keys)))]
	default:
		return f.keys[random.IntN(len(f.keys))]
	}
}

func (w *Workload) moment(random *rand.Rand, now time.Time) time.Time {
	within := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	const year = 365 * 24 * time.Hour
	switch n := random.IntN(100); {
	case n < 50:
		return now.Add(-within(5 * time.Second))
	case n < 60:
		return now.Add(-within(w.horizon))
	case n < 75:
		return now.Add(-w.horizon - 5*time.Second + within(20*time.Second)) // leaves the horizon while the call is retried
	case n < 95:
		return now.Add(-w.horizon - within(5*year))
	default:
		return now.Add(within(2 * year))
	}
}

// Old is a call that was drawn before, nil if there is none.
func (w *Workload) Old(random *rand.Rand) *Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.calls) == 0 {
		return nil
	}
	if random.IntN(2) == 0 {
		return w.calls[random.IntN(len(w.calls))]
	}
	return w.calls[len(w.calls)-1-random.IntN(min(100, len(w.calls)))]
}

// Calls is all calls so far.
func (w *Workload) Calls() []*Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[:len(w.calls):len(w.calls)]
}

// Event is the event of a key.
func (w *Workload) Event(key int) Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events[key]
}

// Key finds the key of an event; false if it was never drawn.
func (w *Workload) Key(e Event) (int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := int(e.Phone) - firstPhone
	if k < 0 || k >= len(w.events) || w.events[k] != e {
		return 0, false
	}
	return k, true
}

// Body is the call as JSON, the same every time.
func (w *Workload) Body(call *Call) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"organizationId":%d,"eventType":%q,"events":[`, call.Org, call.Type)
	for i, k := range call.Rows {
		if i > 0 {
			b.WriteByte(',')
		}
		if k < 0 {
			b.WriteString(`{"phoneE164":"no phone","occurredAt":"2026-01-01T00:00:00Z"}`)
			continue
		}
		e := w.events[k]
		fmt.Fprintf(&b, `{"phoneE164":"+%d","occurredAt":%q,"metadata":{"call":%d}}`, e.Phone, time.UnixMilli(e.At).UTC().Format("2006-01-02T15:04:05.000Z"), call.ID)
	}
	b.WriteString("]}")
	return b.Bytes()
}
