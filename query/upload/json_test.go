package upload

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// rows are what a lead in JSON comes to, whether in a line or in leads.
var rows = []struct{ name, lead, want, says, code string }{
	{name: "both fields", lead: `{"phoneE164":"+15551234567","externalId":"a"}`, want: "+15551234567 a"},
	{name: "in the other order, with spaces", lead: ` { "externalId" : "a" , "phoneE164" : "+1 (555) 123-4567" } `, want: "+15551234567 a"},
	{name: "no externalId", lead: `{"phoneE164":"+15551234567"}`, want: "+15551234567 "},
	{name: "externalId null", lead: `{"phoneE164":"+15551234567","externalId":null}`, want: "+15551234567 "},
	{name: "externalId empty", lead: `{"phoneE164":"+15551234567","externalId":""}`, want: "+15551234567 "},
	{name: "escapes", lead: `{"phone\u0045164":"\u002b15551234567","externalId":"\"\u00e9\ud83d\ude00\n"}`, want: "+15551234567 \"é😀\n"},
	{name: "externalId of 256", lead: `{"phoneE164":"+15551234567","externalId":"` + strings.Repeat("é", 256) + `"}`, want: "+15551234567 " + strings.Repeat("é", 256)},
	{name: "externalId of 257", lead: `{"phoneE164":"+15551234567","externalId":"` + strings.Repeat("é", 257) + `"}`, want: "invalid externalId +15551234567"},
	{name: "externalId a number", lead: `{"phoneE164":"+15551234567","externalId":7}`, want: "invalid externalId +15551234567"},
	{name: "externalId an object", lead: `{"externalId":{"a":["}"]},"phoneE164":"+15551234567"}`, want: "invalid externalId +15551234567"},
	{name: "the first reason counts", lead: `{"phoneE164":"12","externalId":7}`, want: "invalid phoneE164 12"},
	{name: "no field", lead: `{}`, want: "invalid phoneE164 null"},
	{name: "phone null", lead: `{"phoneE164":null}`, want: "invalid phoneE164 null"},
	{name: "phone a number", lead: `{"phoneE164":15551234567}`, want: "invalid phoneE164 null"},
	{name: "phone an array", lead: `{"phoneE164":["+15551234567"]}`, want: "invalid phoneE164 null"},
	{name: "phone empty", lead: `{"phoneE164":""}`, want: "invalid phoneE164 "},
	{name: "a string", lead: `"+15551234567"`, want: "invalid lead null"},
	{name: "a number", lead: `7`, want: "invalid lead null"},
	{name: "null", lead: `null`, want: "invalid lead null"},
	{name: "true", lead: `true`, want: "invalid lead null"},
	{name: "an array", lead: `[{"phoneE164":"+15551234567"}]`, want: "invalid lead null"},

	{name: "an unknown field", lead: `{"phoneE164":"+15551234567","name":"x"}`, says: `the field "name" is unknown`, code: "invalid_request"},
	{name: "phone for phoneE164", lead: `{"phone":"+15551234567"}`, says: `the field "phone" is unknown`, code: "invalid_request"},
	{name: "another case", lead: `{"phonee164":"+15551234567"}`, says: `the field "phonee164" is unknown`, code: "invalid_request"},
	{name: "a long unknown field", lead: `{"` + strings.Repeat("é", 1000) + `":1}`, says: `the field "` + strings.Repeat("é", 40) + `…" is unknown`, code: "invalid_request"},
	{name: "a field twice", lead: `{"phoneE164":"+15551234567","phoneE164":"+15551234567"}`, says: `the field "phoneE164" is there twice`, code: "invalid_json"},
	{name: "a field twice in what is rejected", lead: `[{"a":1,"a":2}]`, says: `the field "a" is there twice`, code: "invalid_json"},
	{name: "not UTF-8", lead: "{\"phoneE164\":\"\xff\"}", says: "UTF-8", code: "invalid_json"},
	{name: "a lone surrogate", lead: `{"phoneE164":"\ud83d"}`, says: "not valid JSON", code: "invalid_json"},
	{name: "no JSON", lead: `{phoneE164:1}`, says: "not valid JSON at byte", code: "invalid_json"},
	{name: "a comma too many", lead: `{"phoneE164":"+15551234567",}`, says: "not valid JSON", code: "invalid_json"},
	{name: "a word", lead: `nil`, says: "not valid JSON", code: "invalid_json"},
	{name: "a long string", lead: `{"phoneE164":"` + strings.Repeat("1", MaxRow) + `"}`, says: "it is longer than 65536 bytes", code: "invalid_request"},
	{name: "a long number", lead: strings.Repeat("1", MaxRow+10), says: "it is longer than 65536 bytes", code: "invalid_request"},
}

func TestNDJSON(t *testing.T) {
	var examples []example
	for _, r := range rows {
		e := example{name: r.name, body: `{"phoneE164":"+442079460000"}` + "\n" + r.lead + "\n" + `{"phoneE164":"+442079460001"}`, want: "+442079460000 ", says: r.says, code: r.code}
		if r.says == "" {
			e.want += "|" + r.want + "|+442079460001 "
		} else {
			e.says = "line 2: " + map[bool]string{true: "it is not " + r.says, false: r.says}[r.says == "UTF-8"]
		}
		examples = append(examples, e)
	}
	const lead = `{"phoneE164":"+442079460000"}`
	check(t, NDJSON, append(examples,
		example{name: "nothing"},
		example{name: "blank lines", body: "\n \t\r\n" + lead + "\r\n\r\n\n" + lead + "\n \n", want: "+442079460000 |+442079460000 "},
		example{name: "blank lines count", body: "\n\n\n{\n", says: "line 4: the line ends too early", code: "invalid_json"},
		example{name: "an object over two lines", body: lead + "\n" + strings.Replace(lead, ":", ":\n", 1), want: "+442079460000 ", says: "line 2: the line ends too early", code: "invalid_json"},
		example{name: "two objects in a line", body: lead + " " + lead + "\n", says: "line 1: something follows its object", code: "invalid_json"},
		example{name: "a comma after the object", body: lead + ",\n", says: "line 1: not valid JSON", code: "invalid_json"},
		example{name: "a byte order mark", body: "\uFEFF" + lead, says: "line 1: not valid JSON", code: "invalid_json"},
		example{name: "half a line", body: lead + "\n" + lead[:10], want: "+442079460000 ", says: "line 2: the line ends too early", code: "invalid_json"},
		example{name: "a line of 64 KiB", body: lead + strings.Repeat(" ", MaxRow-len(lead)-1) + "\n" + lead, want: "+442079460000 |+442079460000 "},
		example{name: "a line of 64 KiB and one", body: lead + strings.Repeat(" ", MaxRow-len(lead)) + "\n" + lead, says: "line 1: it is longer than 65536 bytes", code: "invalid_request"},
	))
}

func TestJSON(t *testing.T) {
	var examples []example
	for _, r := range rows {
		e := example{name: r.name, body: `{"leads":[{"phoneE164":"+442079460000"},` + r.lead + `,{"phoneE164":"+442079460001"}]}`, want: "+442079460000 ", says: r.says, code: r.code}
		if r.says == "" {
			e.want += "|" + r.want + "|+442079460001 "
		} else {
			e.says = "leads[1]: " + map[bool]string{true: "not valid JSON", false: r.says}[r.says == "UTF-8"]
		}
		examples = append(examples, e)
	}
	const lead = `{"phoneE164":"+442079460000"}`
	check(t, JSON, append(examples,
		example{name: "no lead", body: `{"leads":[]}`},
		example{name: "spaces", body: " \n{\t\"leads\" : [ " + lead + " , " + lead + " ] } \r\n", want: "+442079460000 |+442079460000 "},
		example{name: "an empty body", says: "the body is empty", code: "invalid_json"},
		example{name: "spaces alone", body: "  ", says: "the body is empty", code: "invalid_json"},
		example{name: "an array", body: "[" + lead + "]", says: "the body must be a JSON object", code: "invalid_request"},
		example{name: "null", body: "null", says: "the body must be a JSON object", code: "invalid_request"},
		example{name: "no leads", body: "{}", says: "leads is missing", code: "invalid_request"},
		example{name: "leads null", body: `{"leads":null}`, says: "leads must be an array", code: "invalid_request"},
		example{name: "leads an object", body: `{"leads":{}}`, says: "leads must be an array", code: "invalid_request"},
		example{name: "another field before", body: `{"x":1,"leads":[]}`, says: `the field "x" is unknown`, code: "invalid_request"},
		example{name: "another field behind", body: `{"leads":[` + lead + `],"x":1}`, want: "+442079460000 ", says: `the field "x" is unknown`, code: "invalid_request"},
		example{name: "leads twice", body: `{"leads":[` + lead + `],"leads":[]}`, want: "+442079460000 ", says: `the field "leads" is there twice`, code: "invalid_json"},
		example{name: "something behind", body: `{"leads":[]} {}`, says: "something follows the JSON object", code: "invalid_json"},
		example{name: "garbage behind", body: `{"leads":[]}x`, says: "not valid JSON", code: "invalid_json"},
		example{name: "no end of the body", body: `{"leads":[` + lead + `]`, want: "+442079460000 ", says: "ends too early", code: "invalid_json"},
		example{name: "no end of leads", body: `{"leads":[` + lead, want: "+442079460000 ", says: "ends too early", code: "invalid_json"},
		example{name: "no end of a lead", body: `{"leads":[` + lead + `,{"pho`, want: "+442079460000 ", says: "leads[1]: the body ends too early", code: "invalid_json"},
		example{name: "no end of the first word", body: `{"le`, says: "the body ends too early", code: "invalid_json"},
		example{name: "64 KiB between two leads", body: `{"leads":[` + lead + strings.Repeat(" ", MaxRow) + `]}`, want: "+442079460000 ", says: "longer than 65536 bytes", code: "invalid_request"},
		example{name: "deeply nested", body: `{"leads":[` + strings.Repeat("[", 20_000) + `]}`, says: "leads[0]: not valid JSON", code: "invalid_json"},
		example{name: "a long field name", body: `{"` + strings.Repeat("x", 1<<20) + `":1}`, says: "longer than 65536 bytes", code: "invalid_request"},
	))
}

// FuzzNDJSON: the reader accepts exactly those lines that encoding/json accepts as
// one value, of those that have no fault which only we refuse.
func FuzzNDJSON(f *testing.F) {
	for _, r := range rows {
		f.Add([]byte(r.lead))
	}
	f.Add([]byte(`{"phoneE164":"+15551234567"}` + "\n\n7\n{}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, line := range bytes.Split(body, []byte("\n")) {
			if len(line) > 1000 {
				return
			}
		}
		var want []string
		var refused bool
		for _, line := range bytes.Split(body, []byte("\n")) {
			if blank(line) {
				continue
			}
			var value any
			if json.Unmarshal(line, &value) != nil || !utf8.Valid(line) {
				refused = true
				break
			}
			fields, isObject := value.(map[string]any)
			phone, isText := fields["phoneE164"].(string)
			switch {
			case !isObject:
				want = append(want, "null")
			case !isText:
				want = append(want, "null")
			default:
				want = append(want, phone)
			}
		}
		var lead Lead
		reader := newNDJSON(iotest.HalfReader(bytes.NewReader(body)))
		for i := 0; ; i++ {
			err := reader.Next(&lead)
			if err == io.EOF {
				if refused || i != len(want) {
					t.Fatalf("%q: %d leads, and no error; want %d, refused %v", body, i, len(want), refused)
				}
				return
			}
			if err != nil {
				// What only we refuse: unknown fields, fields twice, lone surrogates, deep nesting.
				strict := []string{"is unknown", "twice", "surrogate", "depth", "UTF-8"}
				if !refused && !contains(err.Error(), strict) {
					t.Fatalf("%q: %v", body, err)
				}
				return
			}
			got := "null"
			if lead.HasPhone {
				got = string(lead.Phone)
			}
			if i >= len(want) || got != want[i] {
				t.Fatalf("%q: lead %d has the phone %q; want %q", body, i, got, want)
			}
		}
	})
}

func contains(s string, any []string) bool {
	for _, part := range any {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

// FuzzJSON: a body's leads are those that NDJSON reads, a line each.
func FuzzJSON(f *testing.F) {
	for _, r := range rows {
		f.Add([]byte(r.lead))
	}
	f.Fuzz(func(t *testing.T, lead []byte) {
		if bytes.ContainsAny(lead, "\n") || len(lead) > 1000 {
			return
		}
		line, lineErr := all(NDJSON, bytes.NewReader(lead))
		body, bodyErr := all(JSON, iotest.OneByteReader(strings.NewReader(`{"leads":[`+string(lead)+`]}`)))
		if lineErr == nil && (bodyErr != nil || body != line) {
			t.Fatalf("%q: a line reads %q; a body %q, %v", lead, line, body, bodyErr)
		}
	})
}
