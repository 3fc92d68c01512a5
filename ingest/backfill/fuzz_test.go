package backfill

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"leadevents"
)

// checkRows holds what every row of every text must be.
func checkRows(t *testing.T, text []byte, rows []kept) {
	t.Helper()
	last := Position{}
	for i, row := range rows {
		if row.At.Row != uint64(i) || row.At.Offset < last.Offset || row.At.Offset > int64(len(text)) || row.Line <= row.At.Line {
			t.Fatalf("row %d is at %+v, behind %+v", i, row.At, last)
		}
		last = row.At
		if !json.Valid([]byte(row.Raw)) || strings.ContainsAny(row.Raw, "\n") || !utf8.ValidString(row.Raw) {
			t.Fatalf("row %d has the Raw %q", i, row.Raw)
		}
		if row.Refused != "" {
			if row.Phone != "" || row.OccurredAt != "" || row.Meta != "" || row.Type != "" {
				t.Fatalf("row %d is refused, and %+v", i, row)
			}
			continue
		}
		if at, ok := leadevents.ParseMillis([]byte(row.OccurredAt)); !ok || at != row.Millis {
			t.Fatalf("row %d is of %q, %d", i, row.OccurredAt, row.Millis)
		}
		if row.Meta != "" {
			var compact bytes.Buffer
			if err := json.Compact(&compact, []byte(row.Meta)); err != nil || compact.String() != row.Meta || row.Meta[0] != '{' {
				t.Fatalf("row %d has the metadata %s: %v", i, row.Meta, err)
			}
		}
		if row.Type == "" || !utf8.ValidString(row.Phone) {
			t.Fatalf("row %d is %+v", i, row)
		}
	}
}

// checkPieces holds that the same comes out of the text in pieces.
func checkPieces(t *testing.T, format string, text []byte, rows []kept) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(len(text)), 1))
	pieces, err := fromReader(t, format, &piecewise{r, text})
	if err != nil || len(pieces) != len(rows) {
		t.Fatalf("in pieces there are %d rows, not %d: %v", len(pieces), len(rows), err)
	}
	for i := range rows {
		if rows[i] != pieces[i] {
			t.Fatalf("in pieces row %d is %+v, not %+v", i, pieces[i], rows[i])
		}
	}
}

func FuzzNDJSON(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 10 {
		if text := randomText(r, NDJSON); len(text) < 10_000 {
			f.Add(text)
		}
	}
	f.Add([]byte(`{"phone":"+1555","date":1778610840,"metadata":{"a" : 1}}`))
	f.Add([]byte(`{"line":1,"reason":"","row":"{\"phone\":\"+1555\",\"date\":1}"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		rows, err := fromReader(t, NDJSON, bytes.NewReader(text))
		if err != nil {
			if leadevents.KindOf(err) != leadevents.InvalidRequest {
				t.Fatal(err)
			}
			return
		}
		checkRows(t, text, rows)
		checkPieces(t, NDJSON, text, rows)
		// Whatever encoding/json takes for an object is no broken row.
		i := 0
		for _, line := range bytes.Split(bytes.TrimPrefix(text, []byte(byteOrderMark)), []byte{'\n'}) {
			if len(trimSpace(line)) == 0 {
				continue
			}
			if utf8.Valid(line) && strings.HasPrefix(rows[i].Refused, refusedJSON) && json.Valid(line) && !bytes.Contains(line, []byte(rejectReason)) {
				t.Fatalf("%q is refused: %s", line, rows[i].Refused)
			}
			i++
		}
		if i != len(rows) {
			t.Fatalf("%d rows of %d lines", len(rows), i)
		}
	})
}

func FuzzCSV(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 10 {
		if text := randomText(r, CSV); len(text) < 10_000 {
			f.Add(text)
		}
	}
	f.Add([]byte("phone,date\n\"+1555\",\"1778610840\"\r\n"))
	f.Add([]byte("phone;date;\"a\"\"\n\"\n+1555;2026-05-12T18:34:00Z;\"\r\n\"\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		rows, err := fromReader(t, CSV, bytes.NewReader(text))
		if err != nil {
			if leadevents.KindOf(err) != leadevents.InvalidRequest {
				t.Fatal(err)
			}
			return
		}
		checkRows(t, text, rows)
		checkPieces(t, CSV, text, rows)
	})
}

// FuzzRecords compares records with encoding/csv, where that takes the text.
func FuzzRecords(f *testing.F) {
	for _, s := range []string{"a,b\n\"c\"\"\n\",d\r\n", ",\n\n,\"\"", "a\r\n\r\nb\"c\n", "\"a\",\n", "a,\"b\r\nc\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		theirs := csv.NewReader(strings.NewReader(text))
		theirs.FieldsPerRecord = -1
		want, err := theirs.ReadAll()
		if err != nil || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") {
			return // a lone CR is text here, and half an end of a line there
		}
		c := csvReader{delimiter: ','}
		c.begin(strings.NewReader(text))
		for i, record := range want {
			got, err := c.read()
			if err != nil || got != whole || len(c.cells) != len(record) {
				t.Fatalf("record %d: %d, %v, %d cells; want %q", i, got, err, len(c.cells), record)
			}
			for j, cell := range record {
				// encoding/csv makes CRLF inside of quotes LF.
				if text := strings.ReplaceAll(string(c.cell(j)), "\r\n", "\n"); text != cell {
					t.Fatalf("record %d, cell %d: %q, want %q", i, j, text, cell)
				}
			}
		}
		if _, err := c.read(); err != io.EOF {
			t.Fatalf("behind the last record: %v", err)
		}
	})
}
