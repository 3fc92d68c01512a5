package query

import (
	"strings"
	"testing"

	"leadevents"
	"leadevents/query/audience"
)

// What is wrong with a question is named by its parameter, with the limit.
func TestQuestionsAboutEventsAreRefusedByName(t *testing.T) {
	many := make([]string, audience.MaxEventTypes+1)
	for i := range many {
		many[i] = "a"
	}
	for _, c := range []struct {
		p    EventParameters
		want string
	}{
		{EventParameters{EventTypes: []string{""}}, "eventType must not be empty"},
		{EventParameters{EventTypes: []string{strings.Repeat("é", 129)}}, "eventType is 129 characters long; at most 128"},
		{EventParameters{EventTypes: []string{"\xff"}}, "eventType is not UTF-8"},
		{EventParameters{EventTypes: many}, "eventType is given 101 times; at most 100"},
		{EventParameters{Phone: "12"}, "phone must be a possible phone number"},
		{EventParameters{From: "yesterday"}, "from must be a time"},
		{EventParameters{To: "2026-05-12 18:34:00Z"}, "to must be a time"},
		{EventParameters{Where: "{"}, "where is not JSON"},
		{EventParameters{Where: "{}"}, "where must be an array of conditions"},
		{EventParameters{Where: `[{"path":"a","op":"like","value":1}]`}, "where[0].op must be one of"},
		{EventParameters{Where: `[{"path":"a..b","op":"eq","value":1}]`}, "where[0].path has an empty level"},
		{EventParameters{Where: `[{"path":"a","op":"eq"}]`}, "where[0].value is missing"},
		{EventParameters{Where: "[" + strings.Repeat(`{"path":"a","op":"eq","value":1},`, 10) + `{"path":"a","op":"eq","value":1}]`}, "where holds 11 conditions; at most 10"},
	} {
		_, err := ParseEventQuery(c.p)
		if err == nil || leadevents.KindOf(err) != leadevents.InvalidRequest || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.p, err, c.want)
		}
	}
	q, err := ParseEventQuery(EventParameters{Phone: " 15551234567", From: "2026-05-12T20:34:00.0009+02:00", To: "1970-01-01T00:00:00Z", Where: "[]"})
	if err != nil || q.Phone != 15551234567 || q.From != 1778610840000 || q.To != 0 || q.Where != nil || q.EventTypes != nil {
		t.Errorf("%+v, %v", q, err)
	}
	if q, err := ParseEventQuery(EventParameters{}); err != nil || q.To != audience.EveryMoment {
		t.Errorf("%+v, %v", q, err)
	}
}

// A cursor is good for its organization and question, however that is spelled, and for
// no other.
func TestEventCursorsAreBound(t *testing.T) {
	ask := func(p EventParameters) audience.EventQuery {
		q, err := ParseEventQuery(p)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	q := ask(EventParameters{EventTypes: []string{"a", "b.c"}, From: "2026-05-12T18:34:00Z", Where: `[{"path":"x","op":"eq","value":1.0}]`})
	at := leadevents.EventPosition{OccurredAt: 1, EventType: "b.c\n", Phone: 7}
	cursor := eventCursor(42, q, at)
	same := ask(EventParameters{EventTypes: []string{"b.c", "a", "a"}, From: "2026-05-12T20:34:00+02:00", Where: ` [ {"op":"eq","path":"x","value":1} ] `})
	if got, err := parseEventCursor(42, same, cursor); err != nil || got != at {
		t.Errorf("%+v, %v", got, err)
	}
	others := []audience.EventQuery{ask(EventParameters{}), ask(EventParameters{EventTypes: []string{"a"}, From: "2026-05-12T18:34:00Z", Where: `[{"path":"x","op":"eq","value":1}]`})}
	for _, change := range []func(*audience.EventQuery){
		func(q *audience.EventQuery) { q.From++ }, func(q *audience.EventQuery) { q.To-- }, func(q *audience.EventQuery) { q.Phone = 7 },
		func(q *audience.EventQuery) { q.Where = nil }, func(q *audience.EventQuery) { q.EventTypes = nil },
	} {
		other := q
		change(&other)
		others = append(others, other)
	}
	for _, other := range others {
		if _, err := parseEventCursor(42, other, cursor); err == nil {
			t.Errorf("taken for %s", other.AppendJSON(nil))
		}
	}
	if _, err := parseEventCursor(43, q, cursor); err == nil {
		t.Error("taken for another organization")
	}
	end := leadevents.Before(audience.EveryMoment)
	if got, err := parseEventCursor(42, q, eventCursor(42, q, end)); err != nil || got != end {
		t.Errorf("%+v, %v", got, err)
	}
}

// FuzzEventQuestions: whatever a query string says is refused as a wrong request or read
// as something that a store can be asked, and its cursors lead back to it.
func FuzzEventQuestions(f *testing.F) {
	f.Add("signup", "+15551234567", "2026-05-12T18:34:00Z", "2026-05-13T18:34:00+02:00", `[{"path":"a","op":"gte","value":1}]`, "")
	f.Add("", "12", "x", "", `[{"path":"a","op":"in","value":["x",1,null]}]`, "ZTE")
	f.Add("\xff", " 15551234567", "", "", "null", "ZTEwMDAwMDAwMDAwMDAwMDAwLjQ0LjEuMS5h")
	f.Fuzz(func(t *testing.T, eventType, phone, from, to, where, cursor string) {
		q, err := ParseEventQuery(EventParameters{EventTypes: []string{eventType}, Phone: phone, From: from, To: to, Where: where})
		if err != nil {
			if leadevents.KindOf(err) != leadevents.InvalidRequest {
				t.Fatal(err)
			}
			return
		}
		if q.From < 0 || q.To < 0 || q.From > audience.EveryMoment || q.To > audience.EveryMoment || len(q.Where) > audience.MaxConditions {
			t.Fatalf("%+v", q)
		}
		for _, org := range []leadevents.OrgID{4, 42} {
			at, err := parseEventCursor(org, q, cursor)
			if err != nil {
				if leadevents.KindOf(err) != leadevents.InvalidRequest {
					t.Fatal(err)
				}
				at = leadevents.EventPosition{OccurredAt: q.From, EventType: eventType, Phone: q.Phone}
			}
			if again, err := parseEventCursor(org, q, eventCursor(org, q, at)); err != nil || again != at {
				t.Fatalf("%+v, again %+v, %v", at, again, err)
			}
		}
	})
}
