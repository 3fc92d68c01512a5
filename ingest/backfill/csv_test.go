package backfill

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCSV(t *testing.T) {
	for _, c := range []struct {
		name, text string
		mapping    Mapping
		want       []string
	}{
		{"empty", "", typed, nil},
		{"only line feeds", "\n\r\n\n", typed, nil},
		{"header only", "phone,date\n", typed, nil},
		{"header only, cut", "phone,date", typed, nil},
		{"a row", "phone,occurred_at,orderId\n+15551234567,2026-05-12T18:34:00Z,ord_1\n", typed,
			[]string{`2 purchase +15551234567 2026-05-12T18:34:00Z {"orderId":"ord_1"}`}},
		{"byte order mark", "\xEF\xBB\xBFphone,date\n+1555,2026-05-12T18:34:00Z\n", typed, []string{`2 purchase +1555 2026-05-12T18:34:00Z `}},
		{"CRLF and empty lines", "phone,date,a\r\n\r\n+1555,2026-05-12T18:34:00Z,x\r\n\r\n+1556,2026-05-12T18:34:00Z,\r\n", typed,
			[]string{`3 purchase +1555 2026-05-12T18:34:00Z {"a":"x"}`, `5 purchase +1556 2026-05-12T18:34:00Z `}},
		{"no last line feed", "phone,date,a\n+1555,2026-05-12T18:34:00Z,x", typed, []string{`2 purchase +1555 2026-05-12T18:34:00Z {"a":"x"}`}},
		{"last line cut", "phone,date,a\n+1555,2026-05-12T18:34:00Z,x\n+1556,2026-05", typed,
			[]string{`2 purchase +1555 2026-05-12T18:34:00Z {"a":"x"}`, `3! 2 columns, the header has 3`}},
		{"quotes", "phone,date,\"a,\"\"b\"\"\",c\n\"+1555\",2026-05-12T18:34:00Z,\"x, \"\"y\"\"\n\r\nz\",\"\"\n+1556,2026-05-12T18:34:00Z,5\" screen,\"e\"\"\"\n", typed,
			[]string{`2 purchase +1555 2026-05-12T18:34:00Z {"a,\"b\"":"x, \"y\"\n\r\nz"}`, `5 purchase +1556 2026-05-12T18:34:00Z {"a,\"b\"":"5\" screen","c":"e\""}`}},
		{"a quote that is not closed", "phone,date,a\n+1555,2026-05-12T18:34:00Z,\"x\n+1556,2026-05-12T18:34:00Z,y\n", typed,
			[]string{`2! ` + refusedQuote, `3 purchase +1556 2026-05-12T18:34:00Z {"a":"y"}`}},
		{"text behind a quote", "phone,date,a\n+1555,2026-05-12T18:34:00Z,\"x\"y\n+1556,2026-05-12T18:34:00Z,y\n", typed,
			[]string{`2! ` + refusedQuote, `3 purchase +1556 2026-05-12T18:34:00Z {"a":"y"}`}},
		{"columns without a name", ",phone,date,\n0,+1555,2026-05-12T18:34:00Z,\n", typed, []string{`2 purchase +1555 2026-05-12T18:34:00Z {"column1":"0"}`}},
		{"semicolons", "phone;date;a\n+1555;2026-05-12T18:34:00Z;x,y\n", typed, []string{`2 purchase +1555 2026-05-12T18:34:00Z {"a":"x,y"}`}},
		{"tabs", "phone\tdate\ta\n+1555\t2026-05-12T18:34:00Z\tx,y\n", typed, []string{`2 purchase +1555 2026-05-12T18:34:00Z {"a":"x,y"}`}},
		{"a comma in a quoted name among semicolons", "\"a,b,c\";phone;date\nx;+1555;2026-05-12T18:34:00Z\n", typed, []string{`2 purchase +1555 2026-05-12T18:34:00Z {"a,b,c":"x"}`}},
		{"too few and too many columns", "phone,date,a\n+1555,2026-05-12T18:34:00Z\n+1555,2026-05-12T18:34:00Z,x,y\n", typed,
			[]string{`2! 2 columns, the header has 3`, `3! 4 columns, the header has 3`}},
		{"a row that is not UTF-8", "phone,date,a\n+1555,2026-05-12T18:34:00Z,caf\xe9\n+1556,2026-05-12T18:34:00Z,café\n", typed,
			[]string{`2! not UTF-8`, `3 purchase +1556 2026-05-12T18:34:00Z {"a":"café"}`}},
		{"types of rows", "Phone Number,Event-Type,Event Time\n+1555,signup,2026-05-12T18:34:00Z\n+1556,,2026-05-12T18:34:00Z\n+1557," + strings.Repeat("é", 129) + ",2026-05-12T18:34:00Z\n+15551234567,,2026-05-12T18:34:00Z\n+15551234567," + strings.Repeat("é", 129) + ",2026-05-12T18:34:00Z\n", Mapping{},
			[]string{`2 signup +1555 2026-05-12T18:34:00Z `, `3! invalid phoneE164`, `4! invalid phoneE164`, `5! missing eventType`, `6! eventType must have 1 to 128 characters`}},
		{"a type's column with a fixed type", "phone,event,date\n+1555,signup,2026-05-12T18:34:00Z\n+1556,,2026-05-12T18:34:00Z\n", Mapping{FixedType: "f", EventType: "event"},
			[]string{`2 signup +1555 2026-05-12T18:34:00Z `, `3 f +1556 2026-05-12T18:34:00Z `}},
		{"a fixed type leaves the column to the metadata", "phone,event,date\n+1555,signup,2026-05-12T18:34:00Z\n", typed, []string{`2 purchase +1555 2026-05-12T18:34:00Z {"event":"signup"}`}},
		{"chosen metadata", "phone,date,a,b,c\n+1555,2026-05-12T18:34:00Z,x,y,z\n", Mapping{FixedType: "f", Metadata: []string{"c", "A", "phone", "a"}},
			[]string{`2 f +1555 2026-05-12T18:34:00Z {"c":"z","a":"x","phone":"+1555"}`}},
		{"no metadata", "phone,date,a\n+1555,2026-05-12T18:34:00Z,x\n", Mapping{FixedType: "f", NoMetadata: true}, []string{`2 f +1555 2026-05-12T18:34:00Z `}},
		{"strings", "phone,date,a,b,c,d\n+1555,2026-05-12T18:34:00Z,1,true,0.5,\x01\n", typed,
			[]string{`2 purchase +1555 2026-05-12T18:34:00Z {"a":"1","b":"true","c":"0.5","d":"\u0001"}`}},
		{"typed", "phone,date,a,b,c,d,e,f,g\n+1555,2026-05-12T18:34:00Z,1,true,-0.5e3,007,1.,null,false\n", Mapping{FixedType: "f", Typed: true},
			[]string{`2 f +1555 2026-05-12T18:34:00Z {"a":1,"b":true,"c":-0.5e3,"d":"007","e":"1.","f":"null","g":false}`}},
		{"metadata as an object, as exports have it", "phoneE164,eventType,occurredAt,metadata,ingestedAt\n+1555,signup,2026-05-12T18:34:00.000Z,\"{\"\"a\"\": [1, 2]}\",2026-05-13T00:00:00.000Z\n+1556,signup,2026-05-12T18:34:00.000Z,,x\n", Mapping{},
			[]string{`2 signup +1555 2026-05-12T18:34:00.000Z {"a":[1,2]}`, `3 signup +1556 2026-05-12T18:34:00.000Z `}},
		{"metadata that is no object is a field", "phone,date,metadata,b\n+1555,2026-05-12T18:34:00Z,[1],x\n", typed,
			[]string{`2 purchase +1555 2026-05-12T18:34:00Z {"metadata":"[1]","b":"x"}`}},
		{"missing and invalid", "phone,date\n+15551234567,\n,\n+15551234567,yesterday\n+1,yesterday\n", typed,
			[]string{`2! missing occurredAt`, `3! invalid phoneE164`, `4! invalid occurredAt`, `5! invalid phoneE164`}},
	} {
		rows, err := read(t, "f.csv", []byte(c.text), c.mapping)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, shorts(rows)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// An object in every one of the first rows makes the column the metadata; then
// what is none is refused.
func TestCSVMetadataColumn(t *testing.T) {
	text := "phone,date,metadata,x\n" + strings.Repeat("+15551234567,2026-05-12T18:34:00Z,{},y\n", 100) + "+15551234567,2026-05-12T18:34:00Z,no,y\n"
	rows, err := read(t, "f.csv", []byte(text), typed)
	if err != nil || len(rows) != 101 {
		t.Fatal(len(rows), err)
	}
	if got := rows[99].short(); got != "101 purchase +15551234567 2026-05-12T18:34:00Z {}" {
		t.Errorf("an object: %s", got)
	}
	if last := rows[100]; last.Refused != "invalid metadata" || last.Hint != hintMetadata || last.Raw != `{"phone":"+15551234567","date":"2026-05-12T18:34:00Z","metadata":"no","x":"y"}` {
		t.Errorf("no object: %+v", last)
	}
}

func TestCSVRaw(t *testing.T) {
	text := "phone,date,a,b\n+1555,2026-05-12T18:34:00Z,x,\n+1556,\n\xff\"\n"
	for _, c := range []struct {
		mapping Mapping
		want    []string
	}{
		{typed, []string{`{"phone":"+1555","date":"2026-05-12T18:34:00Z","a":"x"}`, `"+1556,"`, `"�\""`}},
		{Mapping{FixedType: "f", NoMetadata: true}, []string{`{"phone":"+1555","date":"2026-05-12T18:34:00Z","a":"x"}`, `"+1556,"`, `"�\""`}},
		{Mapping{FixedType: "f", Metadata: []string{"b"}}, []string{`{"phone":"+1555","date":"2026-05-12T18:34:00Z","a":"x"}`, `"+1556,"`, `"�\""`}},
	} {
		rows, err := read(t, "f.csv", []byte(text), c.mapping)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, row := range rows {
			got = append(got, row.Raw)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.mapping, diff)
		}
	}
}

func TestLongLines(t *testing.T) {
	good := "+15551234567,2026-05-12T18:34:00Z,x\n"
	most := "+15551234567,2026-05-12T18:34:00Z," + strings.Repeat("y", MaxLine-len("+15551234567,2026-05-12T18:34:00Z,"))
	for _, c := range []struct {
		name, text string
		want       []string // Refused of rows
	}{
		{"the longest", good + most + "\n" + good, []string{"", "", ""}},
		{"the longest, CRLF", good + most + "\r\n" + good, []string{"", "", ""}},
		{"the longest, at the end", good + most, []string{"", ""}},
		{"one more", good + most + "yy\n" + good, []string{"", refusedLong, ""}},
		{"one more, at the end", good + most + "yyy", []string{"", refusedLong}},
		{"3 MiB", good + strings.Repeat("y", 3<<20) + "\n" + good, []string{"", refusedLong, ""}},
		{"a quoted cell of 3 MiB", good + `a,b,"` + strings.Repeat("y", 3<<20) + "\"\n" + good, []string{"", refusedLong, ""}},
		{"an open quote, and 3 MiB of rows", good + `a,b,"` + "\n" + strings.Repeat(good, 3<<20/len(good)), append([]string{"", refusedLong}, make([]string, 3<<20/len(good))...)},
	} {
		rows, err := read(t, "f.csv", []byte("phone,date,a\n"+c.text), typed)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, row := range rows {
			got = append(got, row.Refused)
			if row.Refused != "" && (len(row.Raw) > MaxRaw+len(`"\""`) || row.Raw[0] != '"') {
				t.Errorf("%s: %d bytes are kept", c.name, len(row.Raw))
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%.500s", c.name, diff)
		}
	}
}
