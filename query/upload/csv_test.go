package upload

import (
	"bytes"
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// records reads all records as csvReader does, whatever the columns are.
func records(body io.Reader) (all [][]string, err error) {
	r := &csvReader{lines: newLines(body)}
	for {
		fields, err := r.record()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		var record []string
		for _, f := range fields {
			record = append(record, string(f))
		}
		all = append(all, record)
	}
}

// FuzzCSV holds the reader to encoding/csv, for every text that is UTF-8 and has
// no longer rows, but for CRLF in quotes, which that makes LF.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{
		"phone,externalId\n+15551234567,a\n", "a\r\nb\r\n", "a\r", "\r", "\r\n\r\n", "\n\n\na\n\n", "a,b,\n,,\n", `"a"`, `"a""b",c`, "\"a\nb\r\n\r\nc\",d\r\n", `"a`, `"a"b`, `a"b`, `a,"`,
		"\"a\",\"b\"\r", "\"a\r", "\"\"\n", `""`, `"","",`, "a,\"\r\n\"\r\n", "\"a\"\r\nb", "x\rz\n", "\"x\rz\"\n", ",", "\"\n", "é,\"ü\"\n", "a\x00b\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) || len(text) > MaxRow {
			return // refused before the CSV is looked at
		}
		r := csv.NewReader(bytes.NewReader(text))
		r.FieldsPerRecord = -1
		want, wantErr := r.ReadAll()
		for _, body := range []io.Reader{bytes.NewReader(text), iotest.OneByteReader(bytes.NewReader(text)), iotest.DataErrReader(bytes.NewReader(text))} {
			got, err := records(body)
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("%q: %v; encoding/csv: %v", text, err, wantErr)
			}
			for _, record := range got {
				for i := range record {
					record[i] = strings.ReplaceAll(record[i], "\r\n", "\n")
				}
			}
			if wantErr == nil && !slices.EqualFunc(got, want, slices.Equal) {
				t.Fatalf("%q: %q; encoding/csv: %q", text, got, want)
			}
		}
	})
}

func TestCSV(t *testing.T) {
	check(t, CSV, []example{
		{name: "phoneE164 and externalId", body: "phoneE164,externalId\n+15551234567,a\n+442079460000,\n", want: "+15551234567 a|+442079460000 "},
		{name: "no line end at the end", body: "phone\n+15551234567", want: "+15551234567 "},
		{name: "a byte order mark", body: "\uFEFFphone\n+15551234567\n", want: "+15551234567 "},
		{name: "a byte order mark and quotes", body: "\uFEFF\"phone\"\r\n\"+15551234567\"\r\n", want: "+15551234567 "},
		{name: "CRLF in quotes", body: "phone,externalId\r\n+15551234567,\"a\r\nb\"\r\n+442079460000,\"\r\n\r\n\"\n", want: "+15551234567 a\r\nb|+442079460000 \r\n\r\n"},
		{name: "CRLF", body: "phone,externalId\r\n+15551234567,a\r\n\r\n+442079460000,b\r\n", want: "+15551234567 a|+442079460000 b"},
		{name: "quotes", body: "phone,externalId\n\"+1 (555) 123-4567\",\"a \"\"b\"\", c\nd\"\n", want: "+15551234567 a \"b\", c\nd"},
		{name: "another order, other columns", body: "name,externalId,city,phone\n\"Doe, Jo\",a,NY,+15551234567\n,b,,+442079460000\n", want: "+15551234567 a|+442079460000 b"},
		{name: "names in any case, with spaces", body: " PHONEe164 ,\tExternalID\n+15551234567,a\n", want: "+15551234567 a"},
		{name: "no externalId", body: "phone,id\n+15551234567,a\n", want: "+15551234567 "},
		{name: "nothing but the header", body: "phone\n"},
		{name: "the header without its line end", body: "phone"},
		{name: "rejects", body: "phone,externalId\n12,a\n,b\n+15551234567," + strings.Repeat("é", 256) + "\n+15551234567," + strings.Repeat("é", 257) + "\n",
			want: "invalid phoneE164 12|invalid phoneE164 |+15551234567 " + strings.Repeat("é", 256) + "|invalid externalId +15551234567"},
		{name: "a phone of spaces", body: "phone\n   \n", want: "invalid phoneE164    "},
		{name: "a long phone is cut", body: "phone\n" + strings.Repeat("é", 65) + "\n", want: "invalid phoneE164 " + strings.Repeat("é", 64)},
		{name: "an externalId is kept as sent", body: "phone,externalId\n+15551234567, A é\t\n", want: "+15551234567  A é\t"},
		{name: "rows of 64 KiB", body: "phone,x\n+15551234567," + strings.Repeat("x", MaxRow-14) + "\n", want: "+15551234567 "},

		{name: "an empty body", says: "the CSV is empty", code: "invalid_request"},
		{name: "empty lines alone", body: "\n\r\n\n", says: "the CSV is empty", code: "invalid_request"},
		{name: "no column of phones", body: "name;phone\nx;+15551234567\n", says: `line 1: the CSV has no column phoneE164 or phone; its first row names "name;phone"`, code: "invalid_request"},
		{name: "no header", body: "+15551234567,a\n", says: `its first row names "+15551234567", "a"`, code: "invalid_request"},
		{name: "many columns, none of phones", body: strings.Repeat(strings.Repeat("é", 50)+",", 20) + "\n", says: `"` + strings.Repeat("é", 40) + `…", …`, code: "invalid_request"},
		{name: "both columns of phones", body: "phone,phoneE164\n", says: `the columns "phone" and "phoneE164" name the same`, code: "invalid_request"},
		{name: "a column twice", body: "phone,externalId,x,EXTERNALID\n", says: `the columns "externalId" and "EXTERNALID" name the same`, code: "invalid_request"},
		{name: "an unneeded column twice", body: "x,phone,x\n1,+15551234567,2\n", want: "+15551234567 "},
		{name: "a field too few", body: "phone,externalId\n+15551234567,a\n+442079460000\n", want: "+15551234567 a", says: "line 3: the row has 1 fields, but the first row names 2 columns", code: "invalid_request"},
		{name: "a field too many", body: "phone\n\n+15551234567,a\n", says: "line 3: the row has 2 fields", code: "invalid_request"},
		{name: "a quote inside", body: "phone\n+1555\"1234567\n", says: "line 2: a field that does not begin with a quote has one in it", code: "invalid_request"},
		{name: "something after a quoted field", body: "phone\n\"+1555\" 1234567\n", says: "line 2: after a quoted field", code: "invalid_request"},
		{name: "a quoted field without end", body: "phone,x\n+15551234567,\"a\n+442079460000,b\n", says: "line 2: a quoted field does not end", code: "invalid_request"},
		{name: "a quoted field of many lines without end", body: "phone,x\n+15551234567,\"a\n" + strings.Repeat("+442079460000,b\n", 5000), says: "line 2: the row is longer than 65536 bytes", code: "invalid_request"},
		{name: "a row of more than 64 KiB", body: "phone,x\n+15551234567," + strings.Repeat("x", MaxRow-13) + "\n", says: "line 2: it is longer than 65536 bytes", code: "invalid_request"},
		{name: "a line without end", body: "phone\n+15551234567\n" + strings.Repeat("x", 1<<20), want: "+15551234567 ", says: "line 3: it is longer than 65536 bytes", code: "invalid_request"},
		{name: "not UTF-8 in a column that nobody needs", body: "phone,x\n+15551234567,a\xff\n", says: "line 2: it is not UTF-8", code: "invalid_json"},
		{name: "UTF-16", body: "\xff\xfep\x00h\x00\n\x00", says: "line 1: it is not UTF-8", code: "invalid_json"},
	})
}
