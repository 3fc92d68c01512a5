package chaos

import (
	"strings"
	"testing"
	"time"
)

// told is an answered attempt of a call with these keys.
func told(call *Call, start, end, inserted int) *Attempt {
	a := &Attempt{Call: call, Start: time.Duration(start), End: time.Duration(end), Status: 200}
	a.Received, a.Rejected = len(call.Rows), call.Rejected()
	a.Inserted, a.Duplicates = inserted, a.Received-a.Rejected-inserted
	return a
}

func untold(call *Call, start, end int) *Attempt {
	return &Attempt{Call: call, Start: time.Duration(start), End: time.Duration(end), Status: 503}
}

func plain(id int, keys ...int) *Call      { return &Call{ID: id, Rows: keys} }
func idempotent(id int, keys ...int) *Call { return &Call{ID: id, Rows: keys, Idempotent: true} }

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		claim    string
		attempts []*Attempt
		want     string // the invariant that is violated, empty for none
	}{
		{"a call and its duplicate", []*Attempt{told(plain(1, 1, 2), 0, 10, 2), told(plain(2, 1, 2), 20, 30, 0)}, ""},
		{"a repeat in a call, and a row that is rejected", []*Attempt{told(plain(1, 1, 1, -1), 0, 10, 1)}, ""},
		{"two that race for one key", []*Attempt{told(plain(1, 1), 0, 10, 1), told(plain(2, 1), 5, 15, 0)}, ""},
		{"two that race, and both have it", []*Attempt{told(plain(1, 1), 0, 10, 1), told(plain(2, 1), 5, 15, 1)}, "I2"},
		{"inserted again later", []*Attempt{told(plain(1, 1), 0, 10, 1), told(plain(2, 1), 20, 30, 1)}, "I2"},
		{"inserted after it was a duplicate", []*Attempt{untold(plain(3, 1), 0, 5), told(plain(1, 1), 0, 10, 0), told(plain(2, 1), 20, 30, 1)}, "I2"},
		{"nobody inserted it", []*Attempt{told(plain(1, 1), 0, 10, 0), told(plain(2, 1), 20, 30, 0)}, "I2"},
		{"one that was not answered may have", []*Attempt{untold(plain(1, 1), 0, 10), told(plain(2, 1), 20, 30, 0)}, ""},
		{"one that was not answered, and came later", []*Attempt{told(plain(2, 1), 0, 10, 0), untold(plain(1, 1), 20, 30)}, "I2"},
		{"three that share two keys", []*Attempt{told(plain(1, 1, 2), 0, 10, 1), told(plain(2, 2, 3), 0, 10, 1), told(plain(3, 3, 1), 0, 10, 1)}, ""},
		{"one too many of them", []*Attempt{told(plain(1, 1, 2), 0, 10, 2), told(plain(2, 2, 3), 0, 10, 1), told(plain(3, 3, 1), 0, 10, 1)}, "I2"},
		{"one too few of them", []*Attempt{told(plain(1, 1, 2), 0, 10, 1), told(plain(2, 2, 3), 0, 10, 1), told(plain(3, 3, 1), 0, 10, 0)}, "I2"},
		{"attempts of an Idempotency-Key count once", []*Attempt{told(idempotent(1, 1), 0, 10, 1), told(idempotent(1, 1), 20, 30, 1)}, ""},
		{"an Idempotency-Key with two answers", []*Attempt{told(idempotent(1, 1), 0, 10, 1), told(idempotent(1, 1), 20, 30, 0)}, "I2"},
		{"an Idempotency-Key that is resumed owns what its first attempt sealed",
			[]*Attempt{untold(idempotent(1, 1), 0, 10), told(plain(2, 1), 12, 15, 0), told(idempotent(1, 1), 20, 30, 1)}, ""},
		{"numbers that do not add up", []*Attempt{{Call: plain(1, 1), Status: 200, Counts: Counts{Received: 1}}}, "I3"},
		{"numbers of another call", []*Attempt{{Call: plain(1, 1, 2), Status: 200, Counts: Counts{Received: 1, Inserted: 1}}}, "I3"},
		{"a reject that was not one", []*Attempt{{Call: plain(1, 1, -1), Status: 200, Counts: Counts{Received: 2, Inserted: 2}}}, "I3"},
		{"an answer that no fault explains", []*Attempt{{Call: plain(1, 1), Status: 500}}, "answer"},
		{"an answered key that is not stored", []*Attempt{told(plain(1, 99), 0, 10, 1)}, "I1"},
		{"an unanswered key that is not stored", []*Attempt{untold(plain(1, 99), 0, 10)}, ""},
		{"an answered key that its lead's state has not", []*Attempt{told(plain(1, 98), 0, 10, 1)}, "I4"},
		{"an unanswered key that its lead's state has not", []*Attempt{untold(plain(1, 98), 0, 10)}, ""},
	} {
		h := NewHistory()
		for _, a := range c.attempts {
			h.Add(a)
		}
		found := h.Check(func(key int) bool { return key != 99 }, func(key int) bool { return key != 98 && key != 99 })
		switch {
		case c.want == "" && len(found) > 0:
			t.Errorf("%s: %v", c.claim, found)
		case c.want != "" && (len(found) == 0 || found[0].Invariant != c.want):
			t.Errorf("%s: found %v, want %s", c.claim, found, c.want)
		}
	}
}

func TestAViolationTellsTheStoryOfItsKey(t *testing.T) {
	h := NewHistory()
	h.Add(told(plain(1, 7), 0, 10, 1))
	h.Add(told(plain(2, 7), 20, 30, 1))
	found := h.Check(func(int) bool { return true }, func(int) bool { return true })
	if len(found) != 1 || !strings.Contains(found[0].Text, "key 7 [call 1 ") || !strings.Contains(found[0].Text, "call 2 ") {
		t.Errorf("%v", found)
	}
}
