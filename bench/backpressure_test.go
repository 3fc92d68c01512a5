package main

import (
	"net/http"
	"testing"
	"time"
)

func TestCallsAreJudgedByWhenTheyWereSent(t *testing.T) {
	s := func(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
	const ok, refused = http.StatusOK, http.StatusServiceUnavailable
	f := &flood{attempts: []attempt{ // a store dies at 2 s and is ordered back at 6, and is at 7
		{s(1), s(1.5), ok},         // before
		{s(1.9), s(2.8), refused},  // in flight: of the first second, late
		{s(2.8), s(2.81), refused}, // of the first second, in time
		{s(3.5), s(3.6), refused},  // after it, in time: the bound itself
		{s(4), s(4.11), refused},   // late
		{s(5), s(5.01), ok},        // neither late nor refused
		{s(2.9), s(6.5), ok},       // of the first second, however long it took
		{s(6.1), s(6.2), refused},  // the store is on its way
		{s(7.2), s(7.3), ok},       // back
		{s(7.2), s(7.4), ok},       // later
	}}
	o := f.outcome(s(2), s(6), s(7))
	if o.first503 != s(0.8) || o.back != s(0.3) {
		t.Errorf("the first 503 after %s, back after %s", o.first503, o.back)
	}
	if o.first.calls != 3 || o.first.refused != 2 || o.first.inTime != 1 {
		t.Errorf("in the first second %+v", o.first)
	}
	if o.later.calls != 3 || o.later.refused != 2 || o.later.inTime != 1 || o.later.took != s(3) {
		t.Errorf("after it %+v", o.later)
	}
	if o.all.calls != 6 || o.all.refused != 4 {
		t.Errorf("in all %+v", o.all)
	}
}
