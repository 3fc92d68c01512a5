package ingest

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"leadevents"
)

type callCase struct {
	name, body string
	kind       leadevents.Kind // Internal: accepted
	message    string          // a part of it
}

// callCases are bodies that are good or bad as a whole.
func callCases() []callCase {
	good := func(name, body string) callCase { return callCase{name, body, leadevents.Internal, ""} }
	notJSON := func(name, body, message string) callCase {
		return callCase{name, body, leadevents.InvalidJSON, message}
	}
	bad := func(name, body, message string) callCase {
		return callCase{name, body, leadevents.InvalidRequest, message}
	}
	with := func(org, eventType, events string) string {
		return `{"organizationId":` + org + `,"eventType":` + eventType + `,"events":` + events + `}`
	}
	const events = "[" + goodRow + "]"
	text := func(s string) string { return `"` + s + `"` }
	nestedIn := func(n int) string {
		return `{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `,` + callOf(goodRow)[1:]
	}

	return []callCase{
		good("one event", callOf(goodRow)),
		good("white space everywhere", " \t\r\n{ \"organizationId\" : 42 ,\n\"eventType\" : \"a\" , \"events\" : [ { } , "+goodRow+" ] } \r\n\t "),
		good("events before organizationId", `{"events":`+events+`,"eventType":"a","organizationId":42}`),
		good("unknown fields", `{"a":null,"b":[{"organizationId":1,"organizationId":2}],"organizationid":"x",`+callOf(goodRow)[1:]),
		good("escaped names", `{"organization\u0049d":42,"event\u0054ype":"a","ev\u0065nts":`+events+`}`),
		good("names that are no prefix of each other", `{"event":1,"eventss":2,"eventTyp":3,"":4,`+callOf(goodRow)[1:]),

		// Not JSON.
		notJSON("empty", ``, "ends where a value was expected, at byte 0"),
		notJSON("white space only", " \n", "at byte 2"),
		notJSON("garbage", `organizationId=42`, "a value was expected, at byte 0"),
		notJSON("a byte order mark", "\ufeff"+callOf(goodRow), "byte order mark"),
		notJSON("UTF-16", "{\x00\"\x00", "at byte 1"),
		notJSON("two bodies", callOf(goodRow)+callOf(goodRow), "nothing but white space may follow"),
		notJSON("a comma after it", callOf(goodRow)+`,`, "nothing but white space may follow"),
		notJSON("a zero byte after it", callOf(goodRow)+"\x00", "nothing but white space may follow"),
		notJSON("a non-breaking space", callOf(goodRow)+"\u00a0", "nothing but white space may follow"),
		notJSON("a top-level field twice", `{"organizationId":42,`+callOf(goodRow)[1:], `"organizationId" stands there twice`),
		notJSON("the same value twice", `{"eventType":"mastery_purchase",`+callOf(goodRow)[1:], `"eventType" stands there twice`),
		notJSON("events twice, once escaped", `{"ev\u0065nts":[],`+callOf(goodRow)[1:], `"events" stands there twice`),
		notJSON("an unknown field twice", `{"x":1,"\u0078":2,`+callOf(goodRow)[1:], `"x" stands there twice`),
		notJSON("a field twice in what is no call either", `{"x":1,"x":2}`, `"x" stands there twice`),
		notJSON("the empty name twice", `{"":1,"":2}`, `"" stands there twice`),
		notJSON("trailing comma in the object", `{"organizationId":42,}`, "a field name was expected"),
		notJSON("trailing comma in events", `{"events":[{},]}`, "a value was expected"),
		notJSON("trailing comma in an event", `{"events":[{"a":1,}]}`, "a field name was expected"),
		notJSON("trailing comma in metadata", `{"events":[{"metadata":{"a":1,}}]}`, "a field name was expected"),
		notJSON("single quotes", `{'organizationId':42}`, "a field name was expected"),
		notJSON("a name without quotes", `{organizationId:42}`, "a field name was expected"),
		notJSON("no colon", `{"organizationId" 42}`, "a colon was expected"),
		notJSON("no colon in metadata", `{"events":[{"metadata":{"a" 1}}]}`, "a colon was expected"),
		notJSON("no comma", `{"organizationId":42 "eventType":"a"}`, "a comma or a closing brace was expected"),
		notJSON("no comma in events", `{"events":[{} {}]}`, "a comma or a closing bracket was expected"),
		notJSON("wrong bracket", `{"events":[{}}`, "a comma or a closing bracket was expected"),
		notJSON("wrong bracket in metadata", `{"events":[{"metadata":{"a":[1}}}]}`, "a comma or a closing bracket was expected"),
		notJSON("a comment", `{/* */"organizationId":42}`, "a field name was expected"),
		notJSON("a number with a leading zero", with(`042`, `"a"`, events), "a comma or a closing brace"),
		notJSON("a plus", with(`+42`, `"a"`, events), "a value was expected"),
		notJSON("a lonely minus", with(`-`, `"a"`, events), "a value was expected"),
		notJSON("a point without digits", with(`42.`, `"a"`, events), "a digit was expected"),
		notJSON("a point first", with(`.5`, `"a"`, events), "a value was expected"),
		notJSON("an exponent without digits", with(`1e+`, `"a"`, events), "a digit was expected"),
		notJSON("hexadecimal", with(`0x2A`, `"a"`, events), "a comma or a closing brace"),
		notJSON("NaN", with(`NaN`, `"a"`, events), "a value was expected"),
		notJSON("Infinity", with(`-Infinity`, `"a"`, events), "a value was expected"),
		notJSON("True", with(`True`, `"a"`, events), "a value was expected"),
		notJSON("nul", with(`nul`, `"a"`, events), "a value was expected"),
		notJSON("nulll", with(`nulll`, `"a"`, events), "a comma or a closing brace"),
		notJSON("an unknown escape", with(`42`, `"\x41"`, events), "unknown or incomplete escape"),
		notJSON("a short escape", with(`42`, `"\u12G4"`, events), "unknown or incomplete escape"),
		notJSON("a capital escape", with(`42`, `"\U0041"`, events), "unknown or incomplete escape"),
		notJSON("a line break in a string", with(`42`, "\"a\nb\"", events), "control character"),
		notJSON("a zero byte in a string", with(`42`, "\"a\x00b\"", events), "control character"),
		notJSON("not UTF-8 in eventType", with(`42`, "\"a\xff\"", events), "a string is not UTF-8"),
		notJSON("Latin-1", with(`42`, "\"caf\xe9\"", events), "a string is not UTF-8"),
		notJSON("not UTF-8 in a name", "{\"a\xc0\":1,"+callOf(goodRow)[1:], "a string is not UTF-8"),
		notJSON("not UTF-8 in an unknown field", "{\"x\":[\"\xed\xa0\x80\"],"+callOf(goodRow)[1:], "a string is not UTF-8"),
		notJSON("not UTF-8 in metadata", callOf("{\"metadata\":{\"a\":\"12345678\xf4\x90\x80\x80\"}}"), "a string is not UTF-8"),
		notJSON("not UTF-8 outside strings", "{\xff}", "a field name was expected"),
		notJSON("UTF-8 cut at the end of a string", callOf("{\"x\":\"\xf0\x9f\x98\"}"), "a string is not UTF-8"),
		notJSON("broken after what would be refused", `{"organizationId":-1,"eventType":7,"events":[}`, "a value was expected"),
		notJSON("an array that is broken", `[1,2`, "a comma or a closing bracket"),
		notJSON("ten million open brackets", strings.Repeat("[", 10_000_000), "nested too deeply"),
		notJSON("ten million open brackets in metadata", `{"events":[{"metadata":`+strings.Repeat("[", 10_000_000), "ends where a value was expected"),
		good("an unknown field nested 9,999 deep, 10,000 with the body", nestedIn(9_999)),
		notJSON("one level more", nestedIn(10_000), "nested too deeply"),

		// JSON, but no call.
		bad("null", `null`, "must be a JSON object"),
		bad("an array", ` [`+goodRow+`]`, "must be a JSON object"),
		bad("a string", `"a"`, "must be a JSON object"),
		bad("a number", `-1.5e+3`, "must be a JSON object"),
		bad("a 10 MB body of one string", `"`+strings.Repeat("x", 10_485_758)+`"`, "must be a JSON object"),
		bad("an empty object", `{}`, "organizationId is missing"),
		bad("organizationId null", with(`null`, `"a"`, events), "organizationId is missing"),
		bad("organizationId in another case", `{"OrganizationId":42,"eventType":"a","events":`+events+`}`, "organizationId is missing"),
		bad("organizationId zero", with(`0`, `"a"`, events), "organizationId must be a positive integer"),
		bad("organizationId minus zero", with(`-0`, `"a"`, events), "organizationId must be a positive integer"),
		bad("organizationId negative", with(`-42`, `"a"`, events), "organizationId must be a positive integer"),
		bad("organizationId a fraction", with(`42.5`, `"a"`, events), "organizationId must be a positive integer"),
		bad("organizationId 42.0", with(`42.0`, `"a"`, events), "without fraction or exponent"),
		bad("organizationId 1e2", with(`1e2`, `"a"`, events), "without fraction or exponent"),
		bad("organizationId a string", with(`"42"`, `"a"`, events), "organizationId must be a positive integer"),
		bad("organizationId true", with(`true`, `"a"`, events), "organizationId must be a positive integer"),
		bad("organizationId an array", with(`[42]`, `"a"`, events), "organizationId must be a positive integer"),
		bad("organizationId an object", with(`{}`, `"a"`, events), "organizationId must be a positive integer"),
		good("organizationId 1", with(`1`, `"a"`, events)),
		good("organizationId 2^63-1", with(`9223372036854775807`, `"a"`, events)),
		bad("organizationId 2^63", with(`9223372036854775808`, `"a"`, events), "at most 9223372036854775807"),
		bad("organizationId beyond 64 bits", with(`18446744073709551658`, `"a"`, events), "at most 9223372036854775807"),

		bad("eventType missing", `{"organizationId":42,"events":`+events+`}`, "eventType is missing"),
		bad("eventType null", with(`42`, `null`, events), "eventType is missing"),
		bad("eventType a number", with(`42`, `1`, events), "eventType must be a string of 1 to 128 characters"),
		bad("eventType an array", with(`42`, `["a"]`, events), "eventType must be a string"),
		bad("eventType an object", with(`42`, `{}`, events), "eventType must be a string"),
		bad("eventType false", with(`42`, `false`, events), "eventType must be a string"),
		bad("eventType empty", with(`42`, `""`, events), "eventType has 0 characters; it must have 1 to 128"),
		good("eventType a space", with(`42`, `" "`, events)),
		good("eventType of 1 emoji", with(`42`, text("😀"), events)),
		good("eventType of 127 characters", with(`42`, text(strings.Repeat("x", 127)), events)),
		good("eventType of 128 characters", with(`42`, text(strings.Repeat("x", 128)), events)),
		bad("eventType of 129 characters", with(`42`, text(strings.Repeat("x", 129)), events), "eventType has 129 characters; it must have 1 to 128"),
		good("eventType of 128 emoji", with(`42`, text(strings.Repeat("😀", 128)), events)),
		bad("eventType of 129 emoji", with(`42`, text(strings.Repeat("😀", 129)), events), "eventType has 129 characters"),
		good("eventType of 128 escaped emoji", with(`42`, text(strings.Repeat(`\ud83d\ude00`, 128)), events)),
		bad("eventType of 129 escaped emoji", with(`42`, text(strings.Repeat(`\uD83D\uDE00`, 129)), events), "eventType has 129 characters"),
		good("eventType of 128 lone surrogates", with(`42`, text(strings.Repeat(`\ud83d`, 128)), events)),
		bad("eventType of 10 MB", with(`42`, text(strings.Repeat("x", 10_000_000)), events), "eventType has 10000000 characters"),

		bad("events missing", `{"organizationId":42,"eventType":"a"}`, "events is missing"),
		bad("events null", with(`42`, `"a"`, `null`), "events is missing"),
		bad("events an object", with(`42`, `"a"`, goodRow), "events must be an array of 1 to 50000 events"),
		bad("events a string", with(`42`, `"a"`, `"[]"`), "events must be an array"),
		bad("events a number", with(`42`, `"a"`, `1`), "events must be an array"),
		bad("events true", with(`42`, `"a"`, `true`), "events must be an array"),
		bad("events empty", with(`42`, `"a"`, `[ ]`), "events has 0 elements; it must have 1 to 50000"),
		good("49,999 events", callOf(strings.Repeat("1,", 49_998)+"1")),
		good("50,000 events", callOf(strings.Repeat("1,", 49_999)+"1")),
		bad("50,001 events", callOf(strings.Repeat("1,", 50_000)+"1"), "events has 50001 elements; it must have 1 to 50000"),
		bad("five million events", callOf(strings.Repeat("1,", 4_999_999)+"1"), "events has 5000000 elements"),
		notJSON("50,001 events, the last one broken", callOf(strings.Repeat("1,", 50_000)+"{"), "a field name was expected"),
	}
}

func TestCalls(t *testing.T) {
	var d Decoder
	for _, c := range callCases() {
		t.Run(c.name, func(t *testing.T) {
			request, err := d.Decode([]byte(c.body))
			if c.kind == leadevents.Internal {
				if err != nil {
					t.Fatalf("Decode: %v", err)
				}
				if len(request.Events)+len(request.Rejects) != request.Received || len(request.Index) != len(request.Events) {
					t.Errorf("received %d, %d accepted, %d indexes, %d rejected", request.Received, len(request.Events), len(request.Index), len(request.Rejects))
				}
				return
			}
			if err == nil {
				t.Fatalf("Decode took it; want %v", c.kind)
			}
			if leadevents.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.message) {
				t.Errorf("error %v %q; want %v with %q", leadevents.KindOf(err), err, c.kind, c.message)
			}
			if len(err.Error()) > 500 || !utf8.ValidString(err.Error()) {
				t.Errorf("the message is no sentence: %.600q", err)
			}
		})
	}
}

func TestCallsAreReadAsTheReferenceReadsThem(t *testing.T) {
	var d Decoder
	for _, c := range callCases() {
		if len(c.body) < 1<<20 {
			compareWithReference(t, &d, []byte(c.body))
		}
	}
}

func TestATruncatedBodyIsNotJSON(t *testing.T) {
	body := []byte(` {"x":[-1.5e-3,"\u00e9",true],"events":[` + goodRow + `,{"metadata":{"a":[null,{}]}}],"eventType":"é😀","organizationId":42} `)
	var d Decoder
	if _, err := d.Decode(body); err != nil {
		t.Fatal(err)
	}
	for n := range len(body) - 1 { // without its last space it is whole
		if _, err := d.Decode(body[:n:n]); leadevents.KindOf(err) != leadevents.InvalidJSON {
			t.Fatalf("cut at %d: error %v", n, err)
		}
	}
}

func TestEveryChangedByteIsReadAsTheReferenceReadsIt(t *testing.T) {
	body := []byte(`{"x":[-1.5e-3,"\u00e9\n"],"events":[{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00.5Z","metadata":{"a": [null,{}]}}],"eventType":"é","organizationId":42}`)
	var d Decoder
	for i := range body {
		for _, c := range []byte("\x00\x1f \t\n\"\\'/,:{}[]-+.0129aeEuntZ\x7f\x80\xc3\xa9\xff") {
			changed := append([]byte(nil), body...)
			changed[i] = c
			compareWithReference(t, &d, changed)
		}
	}
}

func TestNamesAreToldApart(t *testing.T) {
	const n = 100_000
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf(`"f%d":0`, i))
	}
	rest := callOf(goodRow)[1:]
	var d Decoder
	if _, err := d.Decode([]byte(`{` + strings.Join(names, ",") + `,` + rest)); err != nil {
		t.Fatalf("%d different fields: %v", n, err)
	}
	names[n-1] = `"f4242\u0034":0`
	_, err := d.Decode([]byte(`{` + strings.Join(names, ",") + `,` + rest))
	if leadevents.KindOf(err) != leadevents.InvalidJSON || !strings.Contains(err.Error(), `"f42424" stands there twice`) {
		t.Errorf("a repeated name among %d: error %v", n, err)
	}
}
