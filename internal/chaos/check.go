package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Violation is a promise that was not kept.
type Violation struct {
	Invariant string // I1 to I5, or "answer" for a status that no fault explains
	Text      string
}

func (v Violation) String() string { return v.Invariant + ": " + v.Text }

// writer is whoever may become the owner of keys: one attempt, or all attempts
// of one Idempotency-Key.
type writer struct {
	call     *Call
	start    time.Duration // of the first attempt
	end      time.Duration // of the first answer; if there was none, zero
	answered bool
	inserted int
	edges    []int // keys that it may have inserted
}

// Check holds I1, I2, I3 and, of what was answered, I4 against a history. stored says
// whether a key is in ClickHouse, stated whether its lead's state has it.
func (h *History) Check(stored, stated func(key int) bool) []Violation {
	c := checker{attempts: h.Attempts(), told: map[int]time.Duration{}}
	c.answers()
	c.lost("I1", "are not in ClickHouse", stored)
	c.lost("I4", "are unknown to the state of their lead", stated)
	c.writersOf()
	c.owners()
	return c.violations
}

type checker struct {
	attempts   []*Attempt
	told       map[int]time.Duration // when the first answer about a key was read
	writers    []*writer
	violations []Violation
}

func (c *checker) report(invariant, format string, args ...any) {
	c.violations = append(c.violations, Violation{invariant, fmt.Sprintf(format, args...)})
}

// answers is I3, and that the numbers can be those of the call at all.
func (c *checker) answers() {
	for _, a := range c.attempts {
		switch {
		case a.Status == 0 || a.Status == 503:
			continue
		case a.Status != 200:
			c.report("answer", "call %d was answered %d: %s", a.Call.ID, a.Status, a.Error)
			continue
		}
		distinct, rejected := len(a.Call.Distinct()), a.Call.Rejected()
		switch {
		case a.Received != a.Inserted+a.Duplicates+a.Rejected:
			c.report("I3", "call %d: %+v does not add up", a.Call.ID, a.Counts)
		case a.Received != len(a.Call.Rows) || a.Rejected != rejected || a.Inserted > distinct:
			c.report("I3", "call %d: %+v for %d rows, %d to be rejected, %d distinct keys", a.Call.ID, a.Counts, len(a.Call.Rows), rejected, distinct)
		}
		for _, k := range a.Call.Distinct() {
			if first, ok := c.told[k]; !ok || a.End < first {
				c.told[k] = a.End
			}
		}
	}
}

// lost is I1, and I4 of what was answered: a filter finds it at once.
func (c *checker) lost(invariant, where string, found func(int) bool) {
	var lost []int
	for k := range c.told {
		if !found(k) {
			lost = append(lost, k)
		}
	}
	if len(lost) > 0 {
		slices.Sort(lost)
		c.report(invariant, "%d of %d answered keys %s, the first is %d: %s", len(lost), len(c.told), where, lost[0], c.story(lost[0]))
	}
}

// writersOf gathers who may own what. Whoever began after a key had been
// answered cannot have inserted it: it was stored, and somebody's.
func (c *checker) writersOf() {
	idempotent := map[int]*writer{}
	for _, a := range c.attempts {
		w := &writer{call: a.Call, start: a.Start}
		if a.Call.Idempotent {
			if earlier, ok := idempotent[a.Call.ID]; ok {
				w = earlier
				w.start = min(w.start, a.Start)
			} else {
				idempotent[a.Call.ID] = w
				c.writers = append(c.writers, w)
			}
		} else {
			c.writers = append(c.writers, w)
		}
		if !a.answered() {
			continue
		}
		if w.answered && w.inserted != a.Inserted {
			c.report("I2", "call %d has an Idempotency-Key and was answered both %d and %d inserted", a.Call.ID, w.inserted, a.Inserted)
		}
		w.answered, w.inserted = true, a.Inserted
		if w.end == 0 || a.End < w.end {
			w.end = a.End
		}
	}
	for _, w := range c.writers {
		for _, k := range w.call.Distinct() {
			if told, ok := c.told[k]; !ok || w.start <= told {
				w.edges = append(w.edges, k)
			}
		}
	}
}

// owners is I2. An answer says how many keys it inserted and not which, so two
// assignments are looked for: one that gives every answered writer as many keys
// as it said, none to two of them; and one that gives every key that only
// answered writers can own to one of them, within those numbers. Where both
// exist, one that does both exists (Mendelsohn and Dulmage, 1958).
func (c *checker) owners() {
	var answered []*writer
	open := map[int]bool{} // keys that an unanswered writer may own
	for _, w := range c.writers {
		if w.answered {
			answered = append(answered, w)
			continue
		}
		for _, k := range w.edges {
			open[k] = true
		}
	}
	c.tooMany(answered)
	c.tooFew(answered, open)
}

// tooMany looks for keys that were inserted more than once: a writer that said
// more than it can be given.
func (c *checker) tooMany(answered []*writer) {
	owner := map[int]int{} // key to an index in answered
	for i, w := range answered {
		for n := range w.inserted {
			seen := map[int]bool{}
			if give(i, answered, owner, seen) {
				continue
			}
			for _, k := range w.call.Distinct()[:min(5, len(w.call.Distinct()))] {
				seen[k] = true
			}
			keys := c.some(seen)
			c.report("I2", "call %d was answered %d inserted (read at %s), and only %d keys can be given to it; of keys %v some were inserted twice: %s",
				w.call.ID, w.inserted, w.end.Round(time.Millisecond), n, keys, c.stories(keys))
			break
		}
	}
}

// give finds one more key for writer i, moving keys of others to others.
func give(i int, answered []*writer, owner map[int]int, seen map[int]bool) bool {
	for _, k := range answered[i].edges {
		if _, taken := owner[k]; !taken {
			owner[k] = i
			return true
		}
	}
	for _, k := range answered[i].edges {
		if seen[k] || owner[k] == i {
			continue
		}
		seen[k] = true
		if give(owner[k], answered, owner, seen) {
			owner[k] = i
			return true
		}
	}
	return false
}

// tooFew looks for keys that nobody inserted though everybody was answered.
func (c *checker) tooFew(answered []*writer, open map[int]bool) {
	writers := map[int][]int{} // of a key
	for i, w := range answered {
		for _, k := range w.edges {
			writers[k] = append(writers[k], i)
		}
	}
	keys := make([]int, 0, len(writers))
	for k := range writers {
		if !open[k] {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	given := make([][]int, len(answered)) // keys of a writer
	for _, k := range keys {
		seen := map[int]bool{}
		if !place(k, answered, writers, given, seen) {
			c.report("I2", "every request with key %d was answered, and none of them can have inserted it: %s", k, c.story(k))
		}
	}
}

// place finds a writer with room for key k, moving keys of full ones elsewhere.
func place(k int, answered []*writer, writers map[int][]int, given [][]int, seen map[int]bool) bool {
	for _, i := range writers[k] {
		if len(given[i]) < answered[i].inserted {
			given[i] = append(given[i], k)
			return true
		}
	}
	for _, i := range writers[k] {
		if seen[i] {
			continue
		}
		seen[i] = true
		for at, other := range given[i] {
			if place(other, answered, writers, given, seen) {
				given[i][at] = k
				return true
			}
		}
	}
	return false
}

func (c *checker) some(keys map[int]bool) []int {
	all := make([]int, 0, len(keys))
	for k := range keys {
		all = append(all, k)
	}
	slices.Sort(all)
	return all[:min(len(all), 5)]
}

func (c *checker) stories(keys []int) string {
	var all []string
	for _, k := range keys {
		all = append(all, c.story(k))
	}
	return strings.Join(all, "; ")
}

// story is what became of the first requests that held a key.
func (c *checker) story(key int) string {
	var lines []string
	for _, a := range c.attempts {
		if !slices.Contains(a.Call.Rows, key) {
			continue
		}
		if len(lines) == 12 {
			lines = append(lines, "…")
			break
		}
		word := "unanswered"
		if a.answered() {
			word = fmt.Sprintf("%d inserted of %d", a.Inserted, a.Received)
		}
		lines = append(lines, fmt.Sprintf("call %d %s–%s server %d %s batch %s", a.Call.ID, a.Start.Round(time.Millisecond), a.End.Round(time.Millisecond), a.Server, word, a.Batch))
	}
	return fmt.Sprintf("key %d [%s]", key, strings.Join(lines, ", "))
}
