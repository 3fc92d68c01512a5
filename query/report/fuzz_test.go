package report

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"leadevents"
	"leadevents/query/audience"
)

// question is one of the four.
type question interface {
	AppendJSON([]byte) []byte
	Validate() error
}

func codec[Q question](decode func([]byte) (Q, error)) func([]byte) (question, error) {
	return func(raw []byte) (question, error) { return decode(raw) }
}

var codecs = []func([]byte) (question, error){codec(DecodeTimeseries), codec(DecodeBreakdown), codec(DecodeFunnel), codec(DecodeRetention)}

// FuzzQuestions: the codecs never panic, read back what they write, and write it the same
// again; what they accept is valid in Go's eyes too, and answered about no rows
// and one.
func FuzzQuestions(f *testing.F) {
	for _, seed := range []string{
		`{"eventTypes":["a","é"],"measure":"leads","interval":"week","from":"2026-05-12T18:00:00Z","to":"2026-06-12T18:00:00+02:00","timeZone":"Europe/Berlin","where":[{"path":"a.b","op":"in","value":[1e400,-0,"\u0000",{"a":[1]},null]}],"breakdown":{"path":"a","limit":1e1},"approximate":true}`,
		`{"eventType":"a","path":"a.b","from":"1970-01-01T00:00:00Z","to":"2099-12-31T23:59:59.999Z","number":{"path":"n","quantiles":[0,0.5,1]},"orderBy":"leads"}`,
		`{"steps":[{"eventType":"a"},{"eventType":"a","where":[{"path":"x","op":"exists","value":false}]}],"within":{"minutes":60},"from":"2026-05-12T18:00:00Z","to":"2026-06-12T18:00:00Z"}`,
		`{"first":{"eventType":"a"},"returning":{"eventType":"b"},"period":"month","from":"2026-05-12T18:00:00Z","to":"2026-06-12T18:00:00Z","timeZone":"Pacific/Apia"}`,
		`{}`, `null`, `[`, `{"eventTypes":[],"eventTypes":[]}`, `{"steps":[[[[`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, decode := range codecs {
			q, err := decode(raw)
			if err != nil {
				if kind := leadevents.KindOf(err); kind != leadevents.InvalidRequest && kind != leadevents.InvalidJSON {
					t.Fatalf("%v is of kind %v", err, kind)
				}
				if !utf8.ValidString(err.Error()) {
					t.Fatalf("the message is not UTF-8: %q", err)
				}
				continue
			}
			if err := q.Validate(); err != nil {
				t.Fatalf("accepted, but not valid: %v", err)
			}
			written := q.AppendJSON(nil)
			if !json.Valid(written) {
				t.Fatalf("no JSON: %s", written)
			}
			again, err := decode(written)
			if err != nil || !reflect.DeepEqual(q, again) {
				t.Fatalf("%s is read as %+v, %v; was %+v", written, again, err, q)
			}
			if twice := again.AppendJSON(nil); !bytes.Equal(written, twice) {
				t.Fatalf("written %s, then %s", written, twice)
			}
			for _, rows := range [][]Event{nil, {{Phone: 1, Event: audience.Event{EventType: "a", OccurredAt: 1.78e12, Metadata: []byte(`{"a":1,"n":2}`)}}}} {
				if _, err := json.Marshal(answer(q, rows)); err != nil {
					t.Fatalf("%s: %v", written, err)
				}
			}
		}
	})
}

func answer(q question, rows []Event) any {
	switch q := q.(type) {
	case Timeseries:
		return q.Count(rows)
	case Breakdown:
		return q.Divide(rows)
	case Funnel:
		return q.Follow(rows)
	case Retention:
		return q.Follow(rows)
	}
	return nil
}
