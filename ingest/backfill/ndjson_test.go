package backfill

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const when = `"occurredAt":"2026-05-12T18:34:00Z"`

func TestNDJSON(t *testing.T) {
	for _, c := range []struct {
		name, text string
		mapping    Mapping
		want       []string
	}{
		{"empty", "", typed, nil},
		{"white space", " \n\r\n\t\n", typed, nil},
		{"the API's events", `{"phoneE164":"+1555",` + when + `,"metadata":{"a":1}}` + "\n", typed, []string{`1 purchase +1555 2026-05-12T18:34:00Z {"a":1}`}},
		{"with white space", ` { "phoneE164" : "+1555" , "occurredAt" : "2026-05-12T18:34:00Z" , "metadata" : { "a" : [ 1 , "x y" ] } } ` + "\r\n", typed,
			[]string{`1 purchase +1555 2026-05-12T18:34:00Z {"a":[1,"x y"]}`}},
		{"metadata as it is, the rest ignored", `{"phoneE164":"+1555",` + when + `,"metadata":{"a":1},"b":2}` + "\n" + `{"phoneE164":"+1556",` + when + `,"b":2}` + "\n" + `{"phoneE164":"+1557",` + when + `,"metadata":null}`, typed,
			[]string{`1 purchase +1555 2026-05-12T18:34:00Z {"a":1}`, `2 purchase +1556 2026-05-12T18:34:00Z `, `3 purchase +1557 2026-05-12T18:34:00Z `}},
		{"remaining fields", `{"mobile":"+1555","timestamp":1778610840,"a":{"b": [1, 2]},"c":null,"d":"é"}` + "\n" + `{"timestamp":1778610840123,"e":1,"mobile":"+1556"}` + "\n" + `{"timestamp":1778610840,"mobile":"+1556"}`, typed,
			[]string{`1 purchase +1555 2026-05-12T18:34:00.000Z {"a":{"b":[1,2]},"c":null,"d":"é"}`, `2 purchase +1556 2026-05-12T18:34:00.123Z {"e":1}`, `3 purchase +1556 2026-05-12T18:34:00.000Z `}},
		{"chosen fields", `{"mobile":"+1555","date":"2026-05-12T18:34:00Z","a":1,"b":2}` + "\n" + `{"mobile":"+1555","date":"2026-05-12T18:34:00Z","c":1,"\u0062":2}`, Mapping{FixedType: "f", Metadata: []string{"b", "mobile", "later"}},
			[]string{`1 f +1555 2026-05-12T18:34:00Z {"mobile":"+1555","b":2}`, `2 f +1555 2026-05-12T18:34:00Z {"mobile":"+1555","\u0062":2}`}},
		{"the column metadata chosen", `{"mobile":"+1555","date":"2026-05-12T18:34:00Z","metadata":{"a":1}}`, Mapping{FixedType: "f", Metadata: []string{"metadata"}},
			[]string{`1 f +1555 2026-05-12T18:34:00Z {"metadata":{"a":1}}`}},
		{"no metadata", `{"mobile":"+1555","date":"2026-05-12T18:34:00Z","a":1}`, Mapping{FixedType: "f", NoMetadata: true}, []string{`1 f +1555 2026-05-12T18:34:00Z `}},
		{"metadata that is no object is a field", `{"phone":"+1555",` + when + `,"metadata":"x"}`, typed, []string{`1 purchase +1555 2026-05-12T18:34:00Z {"metadata":"x"}`}},
		{"metadata that is an object at first", `{"phone":"+15551234567",` + when + `,"metadata":{}}` + strings.Repeat("\n"+`{"phone":"+15551234567",`+when+`}`, 99) + "\n" + `{"phone":"+15551234567",` + when + `,"metadata":"x"}`, typed,
			append(append([]string{`1 purchase +15551234567 2026-05-12T18:34:00Z {}`}, numbered(99, 2, "purchase +15551234567 2026-05-12T18:34:00Z ")...), `101! invalid metadata`)},
		{"types of rows", `{"phone":"+1555",` + when + `,"event":"signup"}` + "\n" + `{"phone":"+15551234567",` + when + `,"event":7}` + "\n" + `{"phone":"+15551234567",` + when + `}`, Mapping{},
			[]string{`1 signup +1555 2026-05-12T18:34:00Z `, `2! missing eventType`, `3! missing eventType`}},
		{"escapes", `{"ph\u006fneE164":"\u002b1555","occurr\u0065dAt":"\u0032026-05-12T18:34:00Z","m\u0065tadata":{"\u0061":"\u0062"},"eventTyp\u0065":"\u00e9"}`, Mapping{},
			[]string{`1 é +1555 2026-05-12T18:34:00Z {"\u0061":"\u0062"}`}},
		{"a repeated field counts as its last", `{"phone":"+1","phone":"+1555",` + when + `}`, typed, []string{`1 purchase +1555 2026-05-12T18:34:00Z `}},
		{"a phone that is a number", `{"phone":15551234567,` + when + `}`, typed, []string{`1 purchase 15551234567 2026-05-12T18:34:00Z `}},
		{"no objects", "1\n[]\n\"x\"\nnull\n", typed, []string{`1! invalid event`, `2! invalid event`, `3! invalid event`, `4! invalid event`}},
		{"not JSON", `{"phone":"+1555",` + when + `}` + "\nhello\n{\"a\":}\n{} x\n{'a':1}\n{\"phone\":\"+1555\"", typed,
			[]string{`1 purchase +1555 2026-05-12T18:34:00Z `, `2! not JSON: a value was expected`, `3! not JSON: a value was expected`, `4! not JSON: something follows the value`, `5! not JSON: a field name was expected`, `6! not JSON: it ends where a comma or a closing brace was expected`}},
		{"missing", `{"phone":"+15551234567",` + when + `}` + "\n" + `{"phone":"+15551234567","occurredAt":null}` + "\n{}\n" + `{"phone":"+15551234567","occurredAt":""}` + "\n" + `{"phone":"+15551234567","occurredAt":true}` + "\n" + `{"phone":{},"occurredAt":1}`, typed,
			[]string{`1 purchase +15551234567 2026-05-12T18:34:00Z `, `2! missing occurredAt`, `3! invalid phoneE164`, `4! missing occurredAt`, `5! invalid occurredAt`, `6 purchase {} 1970-01-01T00:00:01.000Z `}},
		{"not UTF-8", `{"phone":"+1555",` + when + `,"a":"caf` + "\xe9" + `"}` + "\n" + `{"phone":"+1555",` + when + `,"a":"café"}`, typed,
			[]string{`1! not UTF-8`, `2 purchase +1555 2026-05-12T18:34:00Z {"a":"café"}`}},
		{"byte order mark", "\xEF\xBB\xBF" + `{"phone":"+1555",` + when + `}`, typed, []string{`1 purchase +1555 2026-05-12T18:34:00Z `}},
		{"a line of 3 MiB", `{"phone":"+1555",` + when + `}` + "\n" + `{"x":"` + strings.Repeat("y", 3<<20) + "\"}\n" + `{"phone":"+1556",` + when + `}`, typed,
			[]string{`1 purchase +1555 2026-05-12T18:34:00Z `, `2! ` + refusedLong, `3 purchase +1556 2026-05-12T18:34:00Z `}},
		{"a file of rejects", `{"line":4,"reason":"x","row":{"phone":"+1555",` + when + `,"a":1}}` + "\n" + `{"line":5,"reason":"y","row":"{\"phone\":\"+1556\",\"occurredAt\":\"2026-05-12T18:34:00Z\"}"}` + "\n" + `{"line":5,"reason":"y","row":"+1556,"}`, typed,
			[]string{`1 purchase +1555 2026-05-12T18:34:00Z {"a":1}`, `2 purchase +1556 2026-05-12T18:34:00Z `, `3! not JSON: a value was expected`}},
	} {
		rows, err := read(t, "f.ndjson", []byte(c.text), c.mapping)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, shorts(rows)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// numbered is n rows with the same text behind their numbers.
func numbered(n, from int, text string) []string {
	var all []string
	for i := range n {
		all = append(all, kept{Line: uint64(from + i), Type: strings.Fields(text)[0], Phone: strings.Fields(text)[1], OccurredAt: strings.Fields(text)[2]}.short())
	}
	return all
}

// What was refused is fed in again as Raw, and what is right comes through.
func TestRawIsReadAgain(t *testing.T) {
	for name, text := range map[string]string{
		"f.csv":    "phone;date;a;metadata\n+1555;2026-05-12T18:34:00Z;x;\n+1556;2026-05-12T18:34:00Z;\"a\"\"\n\";{}\n",
		"f.ndjson": `{"phone":"+1555",` + when + `,"a":1,"b":{"c":" "}}` + "\n" + `{"a": 5,"phone":"+1556",` + when + `}` + "\n",
	} {
		rows, err := read(t, name, []byte(text), typed)
		if err != nil || len(rows) != 2 {
			t.Fatal(rows, err)
		}
		var plain, wrapped strings.Builder
		for _, row := range rows {
			plain.WriteString(row.Raw + "\n")
			wrapped.WriteString(`{"line":7,"reason":"x","row":` + row.Raw + "}\n")
		}
		for _, text := range []string{plain.String(), wrapped.String()} {
			again, err := read(t, "again.ndjson", []byte(text), typed)
			if err != nil {
				t.Fatal(err)
			}
			for i := range again {
				again[i].Line, again[i].At = rows[i].Line, rows[i].At
			}
			if diff := cmp.Diff(rows, again); diff != "" {
				t.Errorf("%s (-first +again):\n%s", name, diff)
			}
		}
	}
}

func TestHints(t *testing.T) {
	for _, c := range []struct {
		row     string
		mapping Mapping
		phone   string
		hint    string
	}{
		{`{"phone":"+15551234567",` + when + `}`, typed, "+15551234567", ""},
		{`{"phone":"0015551234567",` + when + `}`, typed, "0015551234567", ""},
		{`{"phone":"(415) 555-2671",` + when + `}`, typed, "(415) 555-2671", hintNational},
		{`{"phone":"(415) 555-2671",` + when + `}`, Mapping{FixedType: "f", Region: "US"}, "+14155552671", ""},
		{`{"phone":" 0151 23456789",` + when + `}`, Mapping{FixedType: "f", Region: "DE"}, "+4915123456789", ""},
		{`{"phone":"n/a",` + when + `}`, Mapping{FixedType: "f", Region: "US"}, "n/a", hintRegion},
		{`{"phone":"+15551234567","occurredAt":"2026-05-12 18:34:00"}`, typed, "", hintZone},
		{`{"phone":"n/a","occurredAt":"2026-05-12 18:34:00"}`, typed, "", hintNational},
		{`{"phone":"+15551234567","occurredAt":"12.05.2026"}`, typed, "", hintLayout},
		{`{"phone":"+15551234567","occurredAt":"20260512"}`, typed, "", hintDigits},
		{`{"phone":"+15551234567","occurredAt":4102444800}`, typed, "", hintRange},
		{`{"phone":" ",` + when + `}`, Mapping{FixedType: "f", Region: "US"}, " ", hintNoPhone},
		{`{"phone":"+1555"`, typed, "", hintCut},
		{`{"phone":"` + "\xe9" + `"}`, typed, "", hintUTF8},
	} {
		rows, err := read(t, "f.ndjson", []byte(c.row), c.mapping)
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		if rows[0].Phone != c.phone || rows[0].Hint != c.hint {
			t.Errorf("%s: phone %q, hint %q, refused %q", c.row, rows[0].Phone, rows[0].Hint, rows[0].Refused)
		}
	}
}
