package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"leadevents"
	"leadevents/internal/rawjson"
)

// referenceDecode is the decoder again, slow and plain: the standard library
// reads the JSON, the rules of API.md 1 follow in their order. FuzzDecode and
// the table tests hold the real one against it. (It does not know nesting
// beyond 10,000 levels inside a row; a table test does.)
func referenceDecode(body []byte) (Request, leadevents.Kind, bool) {
	var request Request
	if !utf8.Valid(body) || !json.Valid(body) || repeatsField(body) {
		return request, leadevents.InvalidJSON, false
	}
	var top map[string]json.RawMessage
	if bytes.TrimLeft(body, " \t\r\n")[0] != '{' || json.Unmarshal(body, &top) != nil {
		return request, leadevents.InvalidRequest, false
	}
	org, err := strconv.ParseInt(string(top["organizationId"]), 10, 64)
	if err != nil || org <= 0 {
		return request, leadevents.InvalidRequest, false
	}
	eventType, ok := text(top["eventType"])
	if n := len([]rune(eventType)); !ok || n < 1 || n > 128 {
		return request, leadevents.InvalidRequest, false
	}
	var events []json.RawMessage
	if json.Unmarshal(top["events"], &events) != nil || len(events) < 1 || len(events) > 50_000 {
		return request, leadevents.InvalidRequest, false
	}
	request = Request{Org: leadevents.OrgID(org), EventType: eventType, Received: len(events)}
	for i, raw := range events {
		event, reject := referenceEvent(raw)
		if reject.Reason == "" {
			request.Events = append(request.Events, event)
			request.Index = append(request.Index, uint32(i))
			continue
		}
		reject.Index = i
		request.Rejects = append(request.Rejects, reject)
	}
	return request, 0, true
}

// repeatsField tells whether an object has a field twice.
func repeatsField(body []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(body))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return false
	}
	seen := map[string]bool{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			panic(err)
		}
		if seen[name.(string)] {
			return true
		}
		seen[name.(string)] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			panic(err)
		}
	}
	return false
}

// text is the value of a JSON string.
func text(raw json.RawMessage) (string, bool) {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

func referenceEvent(raw json.RawMessage) (leadevents.Event, leadevents.RowReject) {
	var event leadevents.Event
	var reject leadevents.RowReject
	fail := func(reason string) (leadevents.Event, leadevents.RowReject) {
		reject.Reason = reason
		return leadevents.Event{}, reject
	}
	var fields map[string]json.RawMessage
	if raw[0] != '{' || json.Unmarshal(raw, &fields) != nil {
		return fail("invalid event")
	}
	phone, isText := text(fields["phoneE164"])
	if isText {
		reject.HasPhone = true
		reject.Phone = string([]rune(phone)[:min(64, len([]rune(phone)))])
	}
	var ok bool
	if event.Phone, ok = leadevents.ParsePhoneBytes([]byte(phone)); !isText || !ok {
		return fail("invalid phoneE164")
	}
	at := fields["occurredAt"]
	if len(at) == 0 || string(at) == "null" || string(at) == `""` {
		return fail("missing occurredAt")
	}
	moment, isText := text(at)
	if event.OccurredAt, ok = referenceOccurredAt(moment); !isText || !ok {
		return fail("invalid occurredAt")
	}
	metadata := fields["metadata"]
	if len(metadata) == 0 || string(metadata) == "null" {
		event.Metadata = []byte("{}")
		return event, reject
	}
	if metadata[0] != '{' || nesting(metadata) > 64 {
		return fail("invalid metadata")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, metadata); err != nil {
		panic(err)
	}
	if compact.Len() > 8192 {
		return fail("metadata too large")
	}
	event.Metadata = compact.Bytes()
	return event, reject
}

// nesting is how deep a value is nested; an object of scalars is 1.
func nesting(raw json.RawMessage) int {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	depth, deepest := 0, 0
	for {
		token, err := dec.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

// rfc3339 is the grammar of RFC 3339, section 5.6; time.Parse checks the
// ranges, but would also take a comma, a one-digit hour and other liberties.
var rfc3339 = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`)

func referenceOccurredAt(s string) (leadevents.Millis, bool) {
	if !rfc3339.MatchString(s) {
		return 0, false
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
	if err != nil || t.Before(time.Unix(0, 0)) || !t.Before(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)) {
		return 0, false
	}
	return leadevents.MillisOf(t), true
}

// compareWithReference decodes with both and fails the test where they differ.
func compareWithReference(t *testing.T, d *Decoder, body []byte) {
	t.Helper()
	want, wantKind, wantOK := referenceDecode(body)
	got, err := d.Decode(body)
	if (err == nil) != wantOK || err != nil && leadevents.KindOf(err) != wantKind {
		t.Fatalf("Decode: error %v, the reference decoder: ok=%v %v\nbody: %.2000q", err, wantOK, wantKind, body)
	}
	if err != nil {
		return
	}
	if diff := difference(got, &want); diff != "" {
		t.Fatalf("Decode and the reference decoder differ: %s\nbody: %.2000q", diff, body)
	}
	if org, ok := LookupOrganization(body); !ok || org != got.Org {
		t.Fatalf("LookupOrganization = %d, %v; Decode has organization %d\nbody: %.2000q", org, ok, got.Org, body)
	}
}

// difference says where two requests differ, or nothing.
func difference(got, want *Request) string {
	if got.Org != want.Org || got.EventType != want.EventType || got.Received != want.Received {
		return fmt.Sprintf("(%d, %q, %d) and (%d, %q, %d)", got.Org, got.EventType, got.Received, want.Org, want.EventType, want.Received)
	}
	if len(got.Events) != len(want.Events) || len(got.Index) != len(want.Index) || len(got.Rejects) != len(want.Rejects) {
		return fmt.Sprintf("%d events, %d indexes, %d rejects %+v and %d events, %d rejects %+v",
			len(got.Events), len(got.Index), len(got.Rejects), got.Rejects, len(want.Events), len(want.Rejects), want.Rejects)
	}
	for i, w := range want.Events {
		g := got.Events[i]
		if g.Phone != w.Phone || g.OccurredAt != w.OccurredAt || !bytes.Equal(g.Metadata, w.Metadata) || got.Index[i] != want.Index[i] {
			return fmt.Sprintf("event %d at %d: %v %v %q and at %d: %v %v %q", i, got.Index[i], g.Phone, g.OccurredAt, g.Metadata, want.Index[i], w.Phone, w.OccurredAt, w.Metadata)
		}
	}
	for i, w := range want.Rejects {
		if got.Rejects[i] != w {
			return fmt.Sprintf("reject %d: %+v and %+v", i, got.Rejects[i], w)
		}
	}
	return ""
}

// FuzzDecode holds the decoder against the reference decoder. Each input is
// decoded twice with one decoder, so that nothing of a call leaks into the next.
func FuzzDecode(f *testing.F) {
	for _, c := range callCases() {
		if len(c.body) < 4096 {
			f.Add([]byte(c.body))
		}
	}
	for _, c := range rowCases() {
		if len(c.row) < 4096 {
			f.Add([]byte(callOf(c.row)))
		}
	}
	var d Decoder
	f.Fuzz(func(t *testing.T, body []byte) {
		compareWithReference(t, &d, body)
		compareWithReference(t, &d, body)
		// The same bytes as the only row of a call: most inputs are not a call.
		compareWithReference(t, &d, []byte(callOf(string(body))))
		d.Reset()
	})
}

// FuzzAppendUnescaped holds the reading of strings against encoding/json.
func FuzzAppendUnescaped(f *testing.F) {
	for _, s := range []string{``, `a`, `é\u00e9`, `\ud83d\ude00`, `\ud83d`, `\ude00\ud83d`, `\ud83d\ud83d\ude00x`, `\ud83dA`, `\"\\\/\b\f\n\r\t`, `\u002B1555`, `😀😀`} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, raw string, limit int) {
		literal := `"` + raw + `"`
		var want string
		if !utf8.ValidString(raw) || json.Unmarshal([]byte(literal), &want) != nil {
			if end, ok := rawjson.ScanString([]byte(literal), 1); ok && end == len(literal)-1 {
				t.Fatalf("scanString takes %q, encoding/json does not", literal)
			}
			return
		}
		if end, ok := rawjson.ScanString([]byte(literal), 1); !ok || end != len(literal)-1 {
			t.Fatalf("scanString(%q) = %d, %v", literal, end, ok)
		}
		if got := string(rawjson.AppendUnescaped(nil, []byte(raw), math.MaxInt)); got != want {
			t.Fatalf("appendUnescaped(%q) = %q, want %q", raw, got, want)
		}
		runes := []rune(want)
		limit = max(0, min(limit, len(runes)))
		if got := string(rawjson.AppendUnescaped(nil, []byte(raw), limit)); got != string(runes[:limit]) {
			t.Fatalf("appendUnescaped(%q, %d) = %q, want %q", raw, limit, got, string(runes[:limit]))
		}
		if rawjson.NameIs([]byte(raw), "events") != (want == "events") {
			t.Fatalf("nameIs(%q) is wrong", raw)
		}
	})
}
