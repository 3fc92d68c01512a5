package main

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"leadevents"
	"leadevents/internal/loadgen"
)

// What a request says it holds has to be so for every key it is made of: the
// benchmark's verdict on the counts rests on it.
func TestTheRecoveryLoadKnowsItsKeys(t *testing.T) {
	const rows = 20_000
	now := leadevents.MillisOf(time.Now())
	l, err := newRecoveryLoad(42, rows, now)
	if err != nil {
		t.Fatal(err)
	}
	var e loadgen.Event
	stored := map[leadevents.Key]bool{}
	for i := range uint64(rows) {
		l.stored.Event(i, &e)
		stored[l.stored.Key(&e)] = true
	}
	if len(stored) != rows {
		t.Fatalf("%d rows have %d keys", rows, len(stored))
	}

	sent := map[leadevents.Key]bool{}
	holds := func(r request, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		fresh, repeats := 0, 0
		for _, key := range keysOf(t, r.body) {
			if age := time.Duration(now-key.OccurredAt) * time.Millisecond; age < 0 || age > horizon-time.Hour {
				t.Fatalf("an event occurred %s before now", age)
			}
			switch {
			case stored[key]:
				repeats++
			case sent[key]:
				t.Fatalf("the new event %+v was sent before", key)
			default:
				fresh++
				sent[key] = true
			}
		}
		if fresh != r.fresh || repeats != r.repeats {
			t.Fatalf("of a request with %d new events and %d repeats %d are new and %d repeat", r.fresh, r.repeats, fresh, repeats)
		}
	}
	for _, n := range []uint64{0, 1, 2, l.mostCalls - 1} {
		holds(l.call(nil, n))
	}
	for n := range uint64(1000) {
		holds(l.single(nil, n))
	}
	holds(l.single(nil, l.mostSingles-1))
	if _, err := l.call(nil, l.mostCalls); err == nil {
		t.Error("a call beyond the last was made")
	}
	if _, err := l.single(nil, l.mostSingles); err == nil {
		t.Error("a single event beyond the last was made")
	}
}

// keysOf reads a body as the server does.
func keysOf(t *testing.T, body []byte) []leadevents.Key {
	t.Helper()
	var call struct {
		OrganizationID leadevents.OrgID
		EventType      string
		Events         []struct {
			PhoneE164  string
			OccurredAt time.Time
		}
	}
	if err := json.Unmarshal(body, &call); err != nil {
		t.Fatal(err)
	}
	var keys []leadevents.Key
	for _, e := range call.Events {
		phone, err := leadevents.ParsePhone(e.PhoneE164)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, leadevents.Key{Org: call.OrganizationID, EventType: call.EventType, Phone: phone, OccurredAt: leadevents.MillisOf(e.OccurredAt)})
	}
	return keys
}

func TestWrongCountsAreErrors(t *testing.T) {
	r := request{fresh: 4, repeats: 1}
	for _, c := range []struct {
		name  string
		a     answer
		again bool
		holds bool
	}{
		{"exact", answer{Received: 5, Inserted: 4, Duplicates: 1}, false, true},
		{"exact when sent again", answer{Received: 5, Inserted: 4, Duplicates: 1}, true, true},
		{"a new event told as a duplicate", answer{Received: 5, Inserted: 3, Duplicates: 2}, false, false},
		{"… which the first attempt may have taken", answer{Received: 5, Inserted: 3, Duplicates: 2}, true, true},
		{"a repeat inserted", answer{Received: 5, Inserted: 5}, false, false},
		{"a repeat inserted when sent again", answer{Received: 5, Inserted: 5}, true, false},
		{"one lost", answer{Received: 4, Inserted: 3, Duplicates: 1}, true, false},
		{"one neither", answer{Received: 5, Inserted: 3, Duplicates: 1}, true, false},
		{"one rejected", answer{Received: 5, Inserted: 4, Rejected: 1}, false, false},
	} {
		if err := r.holds(c.a, c.again); (err == nil) != c.holds {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAStreamIsMeasuredBetweenTwoMoments(t *testing.T) {
	start := time.Now()
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	st := &stream{
		answered: []answeredCall{
			{at(-1), at(1), 100}, // half of it
			{at(1), at(1.5), 30}, // all
			{at(0), at(10), 100}, // a fifth
			{at(3), at(4), 1000}, // none
		},
		refused: []time.Time{at(-0.1), at(0.5), at(2), at(2.1)},
	}
	p := st.between(at(0), at(2))
	if want := (50 + 30 + 20) / 2.0; math.Abs(p.perSecond-want) > 1e-6 {
		t.Errorf("%v events a second, want %v", p.perSecond, want)
	}
	if p.refused != 2 || len(p.latencies) != 2 || p.latencies.quantile(1) != 2*time.Second {
		t.Errorf("%d refused, latencies %v", p.refused, p.latencies)
	}
}
