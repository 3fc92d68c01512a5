package report

import (
	"encoding/json"
	"strings"
	"testing"

	"leadevents"
)

// good questions, with every field.
var good = map[string]string{
	"timeseries": `{"eventTypes":["a","b"],"measure":"leads","interval":"day","from":"2026-05-12T00:00:00Z","to":"2026-05-20T00:00:00Z","timeZone":"Europe/Berlin","where":[{"path":"p","op":"eq","value":1}],"breakdown":{"path":"utm.source","limit":3},"approximate":true}`,
	"breakdown":  `{"eventType":"a","path":"plan","limit":3,"orderBy":"leads","number":{"path":"amountUsd","quantiles":[0.5,0.9]},"from":"2026-05-12T00:00:00Z","to":"2026-05-20T00:00:00Z","where":[],"approximate":false}`,
	"funnel":     `{"steps":[{"eventType":"a"},{"eventType":"b","where":[{"path":"p","op":"exists","value":true}]}],"within":{"minutes":60},"from":"2026-05-12T00:00:00Z","to":"2026-05-20T00:00:00Z","breakdown":{"path":"x"}}`,
	"retention":  `{"first":{"eventType":"a","where":[]},"returning":{"eventType":"b"},"period":"week","from":"2026-05-12T00:00:00Z","to":"2026-05-20T00:00:00Z","timeZone":"Asia/Tokyo"}`,
}

func decodeOf(name string) func([]byte) (question, error) {
	return codecs[map[string]int{"timeseries": 0, "breakdown": 1, "funnel": 2, "retention": 3}[name]]
}

func TestGoodQuestionsAreRead(t *testing.T) {
	for name, text := range good {
		if _, err := decodeOf(name)([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each is a good question with one thing replaced, and what the error must say.
func TestBadQuestionsAreRefusedWithTheirPlace(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"timeseries", `"eventTypes":["a","b"]`, `"eventTypes":[]`, "eventTypes holds 0 event types; it must be 1 to 10"},
		{"timeseries", `"eventTypes":["a","b"]`, `"eventTypes":["a","b","c","d","e","f","g","h","i","j","k"]`, "eventTypes holds 11 event types; it must be 1 to 10"},
		{"timeseries", `"eventTypes":["a","b"]`, `"eventTypes":"a"`, "eventTypes must be an array"},
		{"timeseries", `["a","b"]`, `["a",1]`, "eventTypes[1] must be a string"},
		{"timeseries", `["a","b"]`, `["a","a"]`, "eventTypes[1] stands in the list before"},
		{"timeseries", `["a","b"]`, `[""]`, "eventTypes[0] must not be empty"},
		{"timeseries", `["a","b"]`, `["` + strings.Repeat("x", 129) + `"]`, "eventTypes[0] is 129 characters long; at most 128"},
		{"timeseries", `"eventTypes":["a","b"],`, ``, "eventTypes is missing"},
		{"timeseries", `"leads"`, `"people"`, `measure must be events or leads; got "people"`},
		{"timeseries", `"leads"`, `null`, "measure must be a string"},
		{"timeseries", `"day"`, `"year"`, `interval must be one of minute, hour, day, week, month; got "year"`},
		{"timeseries", `"interval":"day",`, ``, "interval is missing"},
		{"timeseries", `"from":"2026-05-12T00:00:00Z"`, `"from":"2026-05-12"`, "from must be a time as RFC 3339"},
		{"timeseries", `"from":"2026-05-12T00:00:00Z"`, `"from":"2026-05-20T00:00:00Z"`, "to must be after from"},
		{"timeseries", `"from":"2026-05-12T00:00:00Z",`, ``, "from is missing"},
		{"timeseries", `"Europe/Berlin"`, `"Europe/Berlinn"`, "timeZone must be a time zone of the IANA database"},
		{"timeseries", `"Europe/Berlin"`, `"Local"`, "timeZone must be a time zone of the IANA database"},
		{"timeseries", `"op":"eq"`, `"op":"like"`, "where[0].op must be one of"},
		{"timeseries", `"path":"p"`, `"path":"p..q"`, "where[0].path has an empty level"},
		{"timeseries", `"limit":3`, `"limit":0`, "breakdown.limit must be a whole number from 1 to 100"},
		{"timeseries", `"limit":3`, `"limit":2.5`, "breakdown.limit must be a whole number from 1 to 100"},
		{"timeseries", `"limit":3`, `"top":3`, `breakdown has the unknown field "top"`},
		{"timeseries", `"path":"utm.source",`, ``, "breakdown.path is missing"},
		{"timeseries", `"approximate":true`, `"approximate":1`, "approximate must be true or false"},
		{"timeseries", `"approximate":true`, `"aproximate":true`, `the body has the unknown field "aproximate"`},
		{"timeseries", `"day","from":"2026-05-12T00:00:00Z"`, `"minute","from":"2026-05-12T00:00:00Z"`, "more than 10080 intervals of one minute"},
		{"timeseries", `"day","from":"2026-05-12T00:00:00Z","to":"2026-05-20T00:00:00Z","timeZone":"Europe/Berlin","where":[{"path":"p","op":"eq","value":1}],"breakdown":{"path":"utm.source","limit":3}`, `"hour","from":"2025-05-12T00:00:00Z","to":"2026-05-20T00:00:00Z","breakdown":{"path":"utm.source","limit":100}`, "at most 250000 are allowed"},
		{"breakdown", `"path":"plan"`, `"path":""`, "path must not be empty"},
		{"breakdown", `"limit":3`, `"limit":101`, "limit must be a whole number from 1 to 100"},
		{"breakdown", `"leads"`, `"sum"`, `orderBy must be events or leads; got "sum"`},
		{"breakdown", `"path":"amountUsd"`, `"path":"."`, "number.path has an empty level"},
		{"breakdown", `[0.5,0.9]`, `[0.9,0.5]`, "number.quantiles[1] is not above the one before it"},
		{"breakdown", `[0.5,0.9]`, `[1.5]`, "number.quantiles[0] must be a number from 0 to 1"},
		{"breakdown", `[0.5,0.9]`, `["0.5"]`, "number.quantiles[0] must be a number from 0 to 1"},
		{"breakdown", `[0.5,0.9]`, `[0,1,2,3,4,5,6,7,8,9,10]`, "number.quantiles holds 11 quantiles; it must be 0 to 10"},
		{"breakdown", `{"path":"amountUsd","quantiles":[0.5,0.9]}`, `"amountUsd"`, "number must be an object with path, quantiles"},
		{"funnel", `{"eventType":"a"},`, ``, "steps holds 1 steps; it must be 2 to 10"},
		{"funnel", `{"eventType":"a"},`, strings.Repeat(`{"eventType":"a"},`, 10), "steps holds 11 steps; it must be 2 to 10"},
		{"funnel", `{"eventType":"a"}`, `{"eventTyp":"a"}`, `steps[0] has the unknown field "eventTyp"`},
		{"funnel", `{"eventType":"a"}`, `{}`, "steps[0].eventType is missing"},
		{"funnel", `"op":"exists"`, `"op":""`, "steps[1].where[0].op must be one of"},
		{"funnel", `"minutes":60`, `"minutes":5256001`, "within.minutes must be a whole number from 1 to 5256000"},
		{"funnel", `"minutes":60`, `"hours":1`, `within has the unknown field "hours"`},
		{"funnel", `"within":{"minutes":60},`, ``, "within is missing"},
		{"retention", `"first":{"eventType":"a","where":[]},`, ``, "first is missing"},
		{"retention", `"eventType":"b"`, `"eventType":7`, "returning.eventType must be a string"},
		{"retention", `"week"`, `"hour"`, `period must be one of day, week, month; got "hour"`},
		{"retention", `"week","from":"2026-05-12T00:00:00Z"`, `"day","from":"2025-01-12T00:00:00Z"`, "more than 400 periods of one day"},
		{"retention", `"to":"2026-05-20T00:00:00Z"`, `"to":"2026-05-20T00:00:00Z","to":"2026-05-21T00:00:00Z"`, `the field "to" is given twice`},
	} {
		text := strings.Replace(good[c.name], c.old, c.new, 1)
		if text == good[c.name] {
			t.Fatalf("%s has no %s", c.name, c.old)
		}
		_, err := decodeOf(c.name)([]byte(text))
		if kind := leadevents.KindOf(err); err == nil || !strings.Contains(err.Error(), c.want) || kind != leadevents.InvalidRequest && kind != leadevents.InvalidJSON {
			t.Errorf("%s with %s:\n%v\nwant %s", c.name, c.new, err, c.want)
		}
	}
}

// A funnel that is broken down has groups, of nobody too; another has not.
func TestAFunnelShowsTheGroupsOfNobody(t *testing.T) {
	q := Funnel{Range: Range{From: 0, To: 1}, Steps: []Selection{{EventType: "a"}, {EventType: "b"}}, Minutes: 1, Breakdown: &Split{Path: "plan", Limit: 1}}
	for want, breakdown := range map[bool]*Split{true: q.Breakdown, false: nil} {
		q.Breakdown = breakdown
		text, err := json.Marshal(q.Follow(nil))
		if has := strings.Contains(string(text), `"groups":[]`); err != nil || has != want || strings.Contains(string(text), `"groups":null`) {
			t.Errorf("%s (%v), groups: %t", text, err, want)
		}
	}
}
