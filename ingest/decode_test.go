package ingest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"leadevents"
)

const goodRow = `{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z","metadata":{"orderId":"ord_9F2","amountUsd":297}}`

// callOf is a body with these rows.
func callOf(rows ...string) string {
	return `{"organizationId":42,"eventType":"mastery_purchase","events":[` + strings.Join(rows, ",") + `]}`
}

// rowOf is a row that is good but for the fields given.
func rowOf(phone, occurredAt, metadata string) string {
	return `{"phoneE164":` + phone + `,"occurredAt":` + occurredAt + `,"metadata":` + metadata + `}`
}

// nested is {"a":{"a":…{}}}, depth objects.
func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth-1) + `{}` + strings.Repeat(`}`, depth-1)
}

// sized is an object of n bytes.
func sized(n int) string {
	return `{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}`
}

const (
	goodPhone = `"+15551234567"`
	goodTime  = `"2026-05-12T18:34:00Z"`
)

type rowCase struct {
	name, row string
	reason    string // empty: accepted
	metadata  string // of an accepted row
}

func rowCases() []rowCase {
	good := func(name, row, metadata string) rowCase { return rowCase{name, row, "", metadata} }
	bad := func(name, row, reason string) rowCase { return rowCase{name, row, reason, ""} }
	cases := []rowCase{
		good("the example", goodRow, `{"orderId":"ord_9F2","amountUsd":297}`),
		good("unknown fields are ignored", `{"x":[1,{"y":null}],"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z","PhoneE164":1,"phonee164":1}`, `{}`),
		good("an unknown field nested 200,000 deep is ignored", `{"x":`+strings.Repeat("[", 200_000)+strings.Repeat("]", 200_000)+`,"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z"}`, `{}`),
		good("names are compared unescaped", `{"phone\u004516\u0034":"+15551234567","\u006fccurredAt":"2026-05-12T18:34:00Z","\u006d\u0065\u0074\u0061\u0064\u0061\u0074\u0061":{"a":1}}`, `{"a":1}`),
		good("of a repeated field the last one counts", `{"phoneE164":1,"phoneE164":"+15551234567","occurredAt":0,"occurredAt":"2026-05-12T18:34:00Z","metadata":`+nested(65)+`,"metadata":{ "a" : 1 },"metadata":{"b":2}}`, `{"b":2}`),
		good("repeated metadata: null last", rowOf(goodPhone, goodTime, `[],"metadata":null`), `{}`),

		bad("a number is no event", `1`, "invalid event"),
		bad("null is no event", `null`, "invalid event"),
		bad("an array is no event", `[{"phoneE164":"+15551234567"}]`, "invalid event"),
		bad("a string is no event", `"a"`, "invalid event"),
		bad("true is no event", `true`, "invalid event"),
		bad("200,000 nested arrays are no event", strings.Repeat("[", 200_000)+strings.Repeat("]", 200_000), "invalid event"),
		bad("an empty event", `{}`, "invalid phoneE164"),

		good("escaped phone", rowOf(`"\u002B1555123\u0034567"`, goodTime, `{}`), `{}`),
		bad("phone missing", `{"occurredAt":"2026-05-12T18:34:00Z"}`, "invalid phoneE164"),
		bad("phone null", rowOf(`null`, goodTime, `{}`), "invalid phoneE164"),
		bad("phone a number", rowOf(`15551234567`, goodTime, `{}`), "invalid phoneE164"),
		bad("phone an object", rowOf(`{"a":"+15551234567"}`, goodTime, `{}`), "invalid phoneE164"),
		bad("phone an array", rowOf(`["+15551234567"]`, goodTime, `{}`), "invalid phoneE164"),
		bad("phone true", rowOf(`true`, goodTime, `{}`), "invalid phoneE164"),
		bad("phone empty", rowOf(`""`, goodTime, `{}`), "invalid phoneE164"),
		bad("phone not a phone", rowOf(`"hello"`, goodTime, `{}`), "invalid phoneE164"),
		bad("phone too short", rowOf(`"+1"`, goodTime, `{}`), "invalid phoneE164"),
		bad("phone repeated, null last", `{"phoneE164":"+15551234567","phoneE164":null}`, "invalid phoneE164"),

		bad("time missing", `{"phoneE164":"+15551234567"}`, "missing occurredAt"),
		bad("time null", rowOf(goodPhone, `null`, `{}`), "missing occurredAt"),
		bad("time empty", rowOf(goodPhone, `""`, `{}`), "missing occurredAt"),
		bad("time a space", rowOf(goodPhone, `" "`, `{}`), "invalid occurredAt"),
		bad("time a number", rowOf(goodPhone, `1778610840`, `{}`), "invalid occurredAt"),
		bad("time zero", rowOf(goodPhone, `0`, `{}`), "invalid occurredAt"),
		bad("time false", rowOf(goodPhone, `false`, `{}`), "invalid occurredAt"),
		bad("time an object", rowOf(goodPhone, `{}`, `{}`), "invalid occurredAt"),
		bad("time an array", rowOf(goodPhone, `[]`, `{}`), "invalid occurredAt"),
		good("time escaped", rowOf(goodPhone, `"\u0032026-05-12T18:34:00\u005a"`, `{}`), `{}`),

		good("metadata missing", `{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z"}`, `{}`),
		good("metadata null", rowOf(goodPhone, goodTime, `null`), `{}`),
		good("metadata empty", rowOf(goodPhone, goodTime, `{ }`), `{}`),
		good("metadata is stored compact, otherwise as sent", rowOf(goodPhone, goodTime, "{ \"a b\" :\t[ 1.50 , -0E+1,\r\n\"\\u0041 \\\" \" ,{ } ] ,\"a b\":null , \"é\":\"😀 <&> \u2028\"}"), `{"a b":[1.50,-0E+1,"\u0041 \" ",{}],"a b":null,"é":"😀 <&> `+"\u2028"+`"}`),
		bad("metadata a string", rowOf(goodPhone, goodTime, `"{}"`), "invalid metadata"),
		bad("metadata an array", rowOf(goodPhone, goodTime, `[]`), "invalid metadata"),
		bad("metadata a number", rowOf(goodPhone, goodTime, `1`), "invalid metadata"),
		bad("metadata true", rowOf(goodPhone, goodTime, `true`), "invalid metadata"),
		good("metadata 63 deep", rowOf(goodPhone, goodTime, nested(63)), nested(63)),
		good("metadata 64 deep", rowOf(goodPhone, goodTime, nested(64)), nested(64)),
		bad("metadata 65 deep", rowOf(goodPhone, goodTime, nested(65)), "invalid metadata"),
		good("metadata 64 deep with arrays", rowOf(goodPhone, goodTime, `{"a":`+strings.Repeat("[", 63)+strings.Repeat("]", 63)+`}`), `{"a":`+strings.Repeat("[", 63)+strings.Repeat("]", 63)+`}`),
		bad("metadata 65 deep with arrays", rowOf(goodPhone, goodTime, `{"a":`+strings.Repeat("[", 64)+strings.Repeat("]", 64)+`}`), "invalid metadata"),
		bad("metadata 200,000 deep harms its own row only", rowOf(goodPhone, goodTime, nested(200_000)), "invalid metadata"),
		good("metadata of 8,191 bytes", rowOf(goodPhone, goodTime, sized(8_191)), sized(8_191)),
		good("metadata of 8,192 bytes", rowOf(goodPhone, goodTime, sized(8_192)), sized(8_192)),
		bad("metadata of 8,193 bytes", rowOf(goodPhone, goodTime, sized(8_193)), "metadata too large"),
		good("metadata of 8,192 bytes and much white space", rowOf(goodPhone, goodTime, strings.Replace(sized(8_192), ":", strings.Repeat(" \n", 50_000)+":\t", 1)), sized(8_192)),
		bad("metadata of 8,193 bytes and white space", rowOf(goodPhone, goodTime, strings.Replace(sized(8_193), ":", " : ", 1)), "metadata too large"),
		good("metadata size is in bytes, 8,192 of 4-byte characters", rowOf(goodPhone, goodTime, `{"a":"`+strings.Repeat("😀", 2046)+`"}`), `{"a":"`+strings.Repeat("😀", 2046)+`"}`),
		bad("metadata size is in bytes, one character more", rowOf(goodPhone, goodTime, `{"a":"`+strings.Repeat("😀", 2046)+`x"}`), "metadata too large"),
		bad("metadata of escapes counts them as sent", rowOf(goodPhone, goodTime, `{"a":"`+strings.Repeat(`\u0041`, 1365)+`"}`), "metadata too large"),

		bad("all of it wrong: the phone is first", `{"phoneE164":"x","occurredAt":"x","metadata":[]}`, "invalid phoneE164"),
		bad("time before metadata: missing", `{"phoneE164":"+15551234567","metadata":[]}`, "missing occurredAt"),
		bad("time before metadata: invalid", rowOf(goodPhone, `"x"`, `[]`), "invalid occurredAt"),
		bad("depth before size", rowOf(goodPhone, goodTime, `{"a":`+nested(64)+`,"b":`+sized(9_000)+`}`), "invalid metadata"),
	}
	for _, at := range badTimes() {
		if at != "" {
			cases = append(cases, bad(fmt.Sprintf("time %q", at), rowOf(goodPhone, fmt.Sprintf("%q", at), `{}`), "invalid occurredAt"))
		}
	}
	return cases
}

func TestRows(t *testing.T) {
	var d Decoder
	for _, c := range rowCases() {
		t.Run(c.name, func(t *testing.T) {
			// Between two good rows: one bad row never harms another.
			body := []byte(callOf(goodRow, c.row, goodRow))
			if strings.Contains(c.row, `\x`) { // %q of a control character
				body = bytes.Replace(body, []byte(`\x14`), []byte(`\u0014`), 1)
			}
			request, err := d.Decode(body)
			if err != nil {
				t.Fatalf("Decode: %v", err)
			}
			if request.Received != 3 || len(request.Events)+len(request.Rejects) != 3 {
				t.Fatalf("received %d, %d accepted, %d rejected; want 3 in all", request.Received, len(request.Events), len(request.Rejects))
			}
			if !bytes.Equal(request.Events[0].Metadata, request.Events[len(request.Events)-1].Metadata) || request.Index[len(request.Index)-1] != 2 {
				t.Errorf("the neighbours came out as %+v, index %v", request.Events, request.Index)
			}
			if c.reason != "" {
				if len(request.Rejects) != 1 || request.Rejects[0].Reason != c.reason || request.Rejects[0].Index != 1 {
					t.Fatalf("rejects %+v; want %q at 1", request.Rejects, c.reason)
				}
				return
			}
			if len(request.Rejects) != 0 {
				t.Fatalf("rejected: %+v", request.Rejects)
			}
			event := request.Events[1]
			if event.Phone != 15551234567 || event.OccurredAt.String() != "2026-05-12T18:34:00.000Z" || string(event.Metadata) != c.metadata {
				t.Fatalf("event %v %v %.200q; want metadata %.200q", event.Phone, event.OccurredAt, event.Metadata, c.metadata)
			}
		})
	}
}

func TestRowsAreReadAsTheReferenceReadsThem(t *testing.T) {
	var d Decoder
	for _, c := range rowCases() {
		if !strings.Contains(c.name, "200,000") { // the reference stops at 10,000 levels
			compareWithReference(t, &d, []byte(callOf(c.row, goodRow)))
		}
	}
}

func TestEveryReasonHasACase(t *testing.T) {
	// Whom an organization refuses no row says by itself: refuse_test.go.
	seen := map[string]bool{ReasonExpired: true, ReasonErased: true}
	for _, c := range rowCases() {
		seen[c.reason] = true
	}
	for _, reason := range Reasons() {
		if !seen[reason] {
			t.Errorf("no row case is rejected for %q", reason)
		}
	}
}

func TestRejectsRepeatThePhoneAsSent(t *testing.T) {
	emoji := strings.Repeat("😀", 64)
	for name, c := range map[string]struct {
		row, phone string
		has        bool
	}{
		"as sent":                             {`{"phoneE164":" 0049 x "}`, " 0049 x ", true},
		"unescaped":                           {`{"phoneE164":"\u002b\t\"\\ \ud83d\ude00"}`, "+\t\"\\ 😀", true},
		"empty":                               {`{"phoneE164":""}`, "", true},
		"good phone, bad time":                {`{"phoneE164":"+1 (555) 123-4567"}`, "+1 (555) 123-4567", true},
		"64 characters":                       {`{"phoneE164":"` + emoji + `"}`, emoji, true},
		"65 characters are cut":               {`{"phoneE164":"` + emoji + `x"}`, emoji, true},
		"65 escaped characters are cut":       {`{"phoneE164":"` + strings.Repeat(`\ud83d\ude00`, 65) + `"}`, emoji, true},
		"a lone surrogate":                    {`{"phoneE164":"\ud83dx"}`, "\ufffdx", true},
		"null":                                {`{"phoneE164":null}`, "", false},
		"missing":                             {`{}`, "", false},
		"a number":                            {`{"phoneE164":15551234567}`, "", false},
		"not an object":                       {`"+15551234567"`, "", false},
		"the last of two":                     {`{"phoneE164":"a","phoneE164":"b"}`, "b", true},
		"the last of two is null":             {`{"phoneE164":"a","phoneE164":null}`, "", false},
		"the last of two, the first not text": {`{"phoneE164":{},"phoneE164":"b"}`, "b", true},
	} {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			request, err := d.Decode([]byte(callOf(`{"phoneE164":"first"}`, c.row)))
			if err != nil || len(request.Rejects) != 2 {
				t.Fatalf("Decode: %v, %+v", err, request)
			}
			if first := request.Rejects[0]; first.Phone != "first" || !first.HasPhone {
				t.Errorf("the reject before it: %+v", first)
			}
			if got := request.Rejects[1]; got.Phone != c.phone || got.HasPhone != c.has {
				t.Errorf("phone %q, %v; want %q, %v", got.Phone, got.HasPhone, c.phone, c.has)
			}
		})
	}
}

func TestRejectsOutliveTheBody(t *testing.T) {
	var d Decoder
	body := []byte(callOf(`{"phoneE164":"first"}`, goodRow))
	request, err := d.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	eventType, reject := request.EventType, request.Rejects[0]
	clear(body)
	if _, err := d.Decode([]byte(callOf(`{"phoneE164":"other"}`))); err != nil {
		t.Fatal(err)
	}
	if eventType != "mastery_purchase" || reject.Phone != "first" {
		t.Errorf("after the decoder was used again: %q, %+v", eventType, reject)
	}
}

func TestADecoderKeepsNothingOfAnEarlierCall(t *testing.T) {
	var d Decoder
	if _, err := d.Decode([]byte(callOf(goodRow, `1`, goodRow))); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{`{}`, `[`, `{"organizationId":1}`, callOf()} {
		if request, err := d.Decode([]byte(body)); err == nil {
			t.Errorf("Decode(%s) = %+v", body, request)
		}
	}
	d.Reset()
	request, err := d.Decode([]byte(callOf(`{}`)))
	if err != nil || request.Received != 1 || len(request.Events) != 0 || len(request.Index) != 0 || len(request.Rejects) != 1 {
		t.Errorf("Decode = %+v, %v", request, err)
	}
}

func TestResetGivesUnusualBuffersBack(t *testing.T) {
	var d Decoder
	long := strings.Repeat(" ", 100)
	rows := strings.Repeat(`{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z","metadata":{`+long+`"a":"`+strings.Repeat("x", 1000)+`"}},`, 3000)
	unknown := &strings.Builder{}
	for i := range 5000 {
		fmt.Fprintf(unknown, `"f%d":1,`, i)
	}
	body := `{` + unknown.String() + `"deep":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `,` + callOf(rows + goodRow)[1:]
	request, err := d.Decode([]byte(body))
	if err != nil || len(request.Events) != 3001 {
		t.Fatalf("Decode: %v", err)
	}
	d.Reset()
	if d.scan.Body != nil || cap(d.compact) > keepBytes || len(d.scan.names.table) > keepNames || cap(d.request.Rejects) > keepRows/16 {
		t.Errorf("kept: body %d, compact %d, names %d", len(d.scan.Body), cap(d.compact), len(d.scan.names.table))
	}
	for _, event := range d.request.Events[:cap(d.request.Events)] {
		if event.Metadata != nil {
			t.Fatal("an event still refers to its body")
		}
	}
	if request, err := d.Decode([]byte(callOf(goodRow))); err != nil || len(request.Events) != 1 || request.Events[0].Phone != leadevents.Phone(15551234567) {
		t.Errorf("after Reset: %+v, %v", request, err)
	}
}
