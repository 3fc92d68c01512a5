package audience

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"leadevents"
)

func condition(t *testing.T, path string, op Op, value string) Condition {
	t.Helper()
	return mustFilters(t, conditionWith(fmt.Sprintf(`{"path":%q,"op":"%s","value":%s}`, path, op, value)))[0].Where[0]
}

// What holds for the values that a path may have, operator by operator. Each row
// lists all of the values below for which the condition holds, and no others.
func TestOperatorsOverEveryTypeOfValue(t *testing.T) {
	values := []string{"missing", "null", "true", "false", "-5", "0", "4.9", "5", "5.0", "5e0", "5.1", "7", `""`, `"5"`, `"a"`, `"b"`, `"\u0061"`, `"true"`, "[]", "[5]", `["a"]`, "{}", `{"a":5}`}
	existing := values[2:]
	without := func(cut ...string) []string {
		return slices.DeleteFunc(slices.Clone(existing), func(v string) bool { return slices.Contains(cut, v) })
	}
	fives, as := []string{"5", "5.0", "5e0"}, []string{`"a"`, `"\u0061"`}
	for _, c := range []struct {
		op    Op
		value string
		holds []string
	}{
		{Exists, "true", existing},
		{Exists, "false", []string{"missing", "null"}},
		{Eq, "5", fives},
		{Eq, "5.00", fives},
		{Eq, `"5"`, []string{`"5"`}},
		{Eq, `"a"`, as},
		{Eq, `""`, []string{`""`}},
		{Eq, "true", []string{"true"}},
		{Eq, "false", []string{"false"}},
		{Eq, "0", []string{"0"}},
		{Eq, "null", nil},
		{Eq, "[]", nil},
		{Eq, "[5]", nil},
		{Eq, "{}", nil},
		{Ne, "5", without(fives...)},
		{Ne, `"5"`, without(`"5"`)},
		{Ne, `"a"`, without(as...)},
		{Ne, "true", without("true")},
		{Ne, "null", existing},
		{Ne, "[5]", existing},
		{Ne, `{"a":5}`, existing},
		{Gt, "5", []string{"5.1", "7"}},
		{Gte, "5", append([]string{"5.1", "7"}, fives...)},
		{Lt, "5", []string{"-5", "0", "4.9"}},
		{Lte, "5", append([]string{"-5", "0", "4.9"}, fives...)},
		{Gt, `"a"`, []string{`"b"`, `"true"`}},
		{Gte, `"a"`, append([]string{`"b"`, `"true"`}, as...)},
		{Lt, `"a"`, []string{`""`, `"5"`}},
		{Lte, `"a"`, append([]string{`""`, `"5"`}, as...)},
		{In, "[]", nil},
		{In, `[5,"a",true]`, append(append([]string{"true"}, fives...), as...)},
		{In, `["5",[5],{},null,[]]`, []string{`"5"`}},
		{In, `[null]`, nil},
	} {
		cond := condition(t, "p.q", c.op, c.value)
		for _, v := range values {
			metadata := `{"p":{"q":` + v + `}}`
			if v == "missing" {
				metadata = `{"p":{"r":5},"q":5}`
			}
			want := slices.Contains(c.holds, v)
			if got := HoldAll([]Condition{cond}, []byte(metadata)); got != want {
				t.Errorf("%s %s of %s: %t, want %t", c.op, c.value, metadata, got, want)
			}
		}
	}
}

func TestPathsDescendIntoObjectsOnly(t *testing.T) {
	for _, c := range []struct {
		claim, path, metadata string
		exists                bool
	}{
		{"a key", "a", `{"a":1}`, true},
		{"a nested key", "a.b.c", `{"x":{"b":1},"a":{"b":{"c":0}}}`, true},
		{"not into arrays", "a.0", `{"a":[1]}`, false},
		{"not into objects in arrays", "a.b", `{"a":[{"b":1}]}`, false},
		{"not into strings", "a.b", `{"a":"{\"b\":1}"}`, false},
		{"not through null", "a.b", `{"a":null}`, false},
		{"digits are a key", "a.0", `{"a":{"0":1}}`, true},
		{"a key with a dot is not addressed", "a.b", `{"a.b":1}`, false},
		{"case counts", "a", `{"A":1}`, false},
		{"escapes in a key", "é\"", `{"\u00e9\"":1}`, true},
		{"no normal forms", "é", `{"e\u0301":1}`, false},
		{"surrogate pairs", "😀", `{"\ud83d\ude00":1}`, true},
		{"an unpaired surrogate is U+FFFD", "\ufffd", `{"\ud83d":1}`, true},
		{"NUL ends nothing", "a", "{\"a\\u0000b\":1}", false},
		{"the first of two equal keys", "a.b", `{"a":{"b":1},"a":2}`, true},
		{"the first of two equal keys, null", "a", `{"a":null,"a":1}`, false},
		{"the first of two equal keys, no object", "a.b", `{"\u0061":1,"a":{"b":1}}`, false},
		{"white space", "a.b", " {\t\"a\" :\r\n{ \"b\" : 1 } } ", true},
		{"brackets in strings", "b", `{"a":"]}\"}","b":[[]]}`, true},
		{"after nested values", "c", `{"a":{"c":1,"d":[{}]},"b":[{"c":1}],"c":false}`, true},
		{"no JSON has no paths", "a", `{"a":1`, false},
		{"nor have other types", "a", `["a"]`, false},
		{"nor has nothing", "a", ``, false},
	} {
		t.Run(c.claim, func(t *testing.T) {
			for _, want := range []bool{true, false} {
				cond := Condition{Path: c.path, Op: Exists, Value: Value{Kind: BoolValue, Bool: want}}
				if got := HoldAll([]Condition{cond}, []byte(c.metadata)); got != (c.exists == want) {
					t.Errorf("exists %t of %s in %s: %t", want, c.path, c.metadata, got)
				}
			}
		})
	}
	deep := strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64)
	if !HoldAll([]Condition{condition(t, strings.Repeat("a.", 63)+"a", Eq, "1")}, []byte(deep)) {
		t.Error("64 levels are not reached")
	}
}

func TestStringsAreOrderedByCodePoint(t *testing.T) {
	// U+FF5E is before U+1F600 by code point, and after its surrogates in UTF-16.
	ascending := []string{`""`, `"\u0000"`, `"A"`, `"a"`, `"ab"`, `"b"`, `"\u00e9"`, `"\uff5e"`, `"\ud800"`, `"\ud83d\ude00"`}
	for i, a := range ascending {
		for k, b := range ascending {
			metadata := []byte(`{"a":` + a + `}`)
			for op, want := range map[Op]bool{Lt: i < k, Lte: i <= k, Gt: i > k, Gte: i >= k, Eq: i == k, Ne: i != k} {
				if got := HoldAll([]Condition{condition(t, "a", op, b)}, metadata); got != want {
					t.Errorf("%s %s %s: %t, want %t", a, op, b, got, want)
				}
			}
		}
	}
}

func TestAllConditionsMustHoldOfOneEvent(t *testing.T) {
	f := mustFilters(t, conditionWith(`{"path":"a","op":"eq","value":1},{"path":"b","op":"eq","value":2}`))[0]
	split := []Event{{"webinar", 1, []byte(`{"a":1}`)}, {"webinar", 2, []byte(`{"b":2}`)}}
	if Match(f, split, 0, 0) {
		t.Error("two events met one condition each, and the filter passed")
	}
	if !Match(f, append(split, Event{"webinar", 3, []byte(`{"b":2,"a":1}`)}), 0, 0) {
		t.Error("one event met both, and the filter did not pass")
	}
}

func TestWindowIncludesBothEndsToTheMillisecond(t *testing.T) {
	fireAt := leadevents.MillisOf(time.Date(2026, 5, 12, 18, 34, 0, 123e6, time.UTC))
	const skew = 5 * time.Minute
	minutes := 120
	f := Filter{Mode: Include, EventType: "webinar", MinCount: 1, Within: &minutes}
	sticky := f
	sticky.Within = nil
	for _, c := range []struct {
		claim string
		at    leadevents.Millis
		want  bool
	}{
		{"just before", fireAt - 120*60_000 - 1, false},
		{"the first moment", fireAt - 120*60_000, true},
		{"at fireAt", fireAt, true},
		{"the last moment", fireAt + 5*60_000, true},
		{"just after", fireAt + 5*60_000 + 1, false},
		{"the first moment there is", leadevents.MinOccurredAt, false},
		{"the last moment there is", leadevents.MaxOccurredAt, false},
	} {
		events := []Event{{"webinar", c.at, nil}, {"other", fireAt, nil}}
		if got := Match(f, events, fireAt, skew); got != c.want {
			t.Errorf("%s: include says %t, want %t", c.claim, got, c.want)
		}
		exclude := f
		exclude.Mode = Exclude
		if got := Match(exclude, events, fireAt, skew); got == c.want {
			t.Errorf("%s: exclude says %t, want %t", c.claim, got, !c.want)
		}
		if !Match(sticky, events, fireAt, skew) {
			t.Errorf("%s: a sticky filter must see every event, whenever it occurred", c.claim)
		}
	}
	if from, to, bounded := sticky.Window(fireAt, skew); bounded || from != 0 || to != 0 || !sticky.Sticky() {
		t.Errorf("a sticky filter has the window %d to %d", from, to)
	}
	longest := MaxMinutes
	f.Within = &longest
	if from, _, _ := f.Window(fireAt, skew); from != fireAt-5_256_000*60_000 {
		t.Errorf("the longest window begins at %v", from)
	}
}

func TestMinCountCountsDistinctEvents(t *testing.T) {
	f := Filter{Mode: Include, EventType: "webinar", MinCount: 2}
	one := Event{"webinar", 1000, []byte(`{"a":1}`)}
	for claim, c := range map[string]struct {
		events []Event
		want   bool
	}{
		"none":                         {nil, false},
		"one":                          {[]Event{one}, false},
		"one, twice":                   {[]Event{one, one, {"webinar", 1000, nil}}, false},
		"another type":                 {[]Event{one, {"other", 2000, nil}}, false},
		"type in other case":           {[]Event{one, {"Webinar", 2000, nil}}, false},
		"a millisecond apart":          {[]Event{one, {"webinar", 1001, nil}}, true},
		"three, not in order":          {[]Event{{"webinar", 3000, nil}, one, {"webinar", 2000, nil}}, true},
		"two, with repeats among them": {[]Event{one, {"webinar", 3000, nil}, one}, true},
	} {
		if got := Match(f, c.events, 0, 0); got != c.want {
			t.Errorf("%s: %t, want %t", claim, got, c.want)
		}
		exclude := f
		exclude.Mode = Exclude
		if got := Match(exclude, c.events, 0, 0); got == c.want {
			t.Errorf("%s: exclude says %t", claim, got)
		}
	}
}

func TestEvaluateNamesTheFirstFilterThatDropsAndTheEvidence(t *testing.T) {
	filters := mustFilters(t, `[
		{"mode":"include","eventType":"webinar","where":[{"path":"n","op":"gte","value":1}]},
		{"mode":"exclude","eventType":"purchase"},
		{"mode":"include","eventType":"webinar","minCount":3}]`)
	events := []Event{{"webinar", 1, []byte(`{"n":1}`)}, {"webinar", 9, []byte(`{"n":2}`)}, {"webinar", 10, []byte(`{"n":0}`)}, {"purchase", 5, nil}}
	got := Evaluate(filters, events, 0, 0)
	want := Verdict{Kept: false, DroppedBy: 1, Filters: []Evidence{
		{Passed: true, Events: 2, LastEvent: &events[1]},
		{Passed: false, Events: 1, LastEvent: &events[3]},
		{Passed: true, Events: 3, LastEvent: &events[2]},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	// A lead without any event is dropped by include, kept by exclude.
	got = Evaluate(filters, nil, 0, 0)
	want = Verdict{Kept: false, DroppedBy: 0, Filters: []Evidence{{}, {Passed: true}, {}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("without events: %+v, want %+v", got, want)
	}
	if got := Evaluate(nil, events, 0, 0); !got.Kept || got.DroppedBy != -1 || len(got.Filters) != 0 {
		t.Errorf("no filters must keep everybody: %+v", got)
	}
	kept := Evaluate(filters[:1], events, 0, 0)
	if !kept.Kept || kept.DroppedBy != -1 {
		t.Errorf("%+v, want kept", kept)
	}
}
