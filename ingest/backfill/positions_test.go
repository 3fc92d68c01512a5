package backfill

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

// randomText is rows of a format, many of them broken, with empty lines and
// ends of both kinds.
func randomText(r *rand.Rand, format string) []byte {
	var b bytes.Buffer
	if r.IntN(3) == 0 {
		b.WriteString("\xEF\xBB\xBF")
	}
	end := func() string { return []string{"\n", "\r\n", "\n\n"}[r.IntN(3)] }
	pieces := []string{`"`, `""`, ",", "\n", "é", "\xff", "{", "}", `\`, "x", `"a"`, strings.Repeat("long ", 50)}
	if format == CSV {
		b.WriteString("phone,date,a" + end())
	}
	for range r.IntN(60) {
		switch {
		case r.IntN(4) == 0:
			for range r.IntN(6) {
				b.WriteString(pieces[r.IntN(len(pieces))])
			}
		case r.IntN(40) == 0:
			b.WriteString(strings.Repeat("y", MaxLine+r.IntN(10)-5))
		case format == CSV && r.IntN(2) == 0:
			fmt.Fprintf(&b, "+1555%07d,2026-05-12T18:34:00Z,\"%s\"", r.IntN(1e7), strings.Repeat("\"\"\n,", r.IntN(5)))
		case format == CSV:
			fmt.Fprintf(&b, "+1555%07d,17786%05d,%d", r.IntN(1e7), r.IntN(1e5), r.IntN(1000))
		default:
			fmt.Fprintf(&b, `{"phone":"+1555%07d","date":"2026-05-12T18:34:00Z","a":{"b": %d}}`, r.IntN(1e7), r.IntN(1000))
		}
		if r.IntN(20) > 0 {
			b.WriteString(end())
		}
	}
	return b.Bytes()
}

// From every position, and by every way to it, the same rows follow as when all is read.
func TestEveryPositionGivesTheSameRest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	texts := 36
	if testing.Short() { // with -race (Makefile)
		texts = 6
	}
	for i := range texts {
		format := []string{CSV, NDJSON}[i%2]
		text := randomText(r, format)
		name, content := "f."+format, text
		switch i / 2 % 3 {
		case 1:
			content = gzipped(t, text)
		case 2:
			content = zstded(t, text)
		}
		before := write(t, "before.csv", []byte("phone,date\n+1555,2026-05-12T18:34:00Z\n"))
		files := findAll(t, before, write(t, name, content))
		files[1].Format = format // an empty one has none
		checkPositions(t, files, typed)
	}
	var events []benchEvent
	for i := range 1_000 {
		events = append(events, benchEvent{fmt.Sprintf("+1555%07d", i), int64(i) * 1e9, "o", int64(i)})
	}
	checkPositions(t, findAll(t, write(t, "f.parquet", parquetFile(t, events, parquet.MaxRowsPerRowGroup(300), parquet.PageBufferSize(512)))), typed)
	checkPositions(t, findAll(t, write(t, "f.parquet.gz", gzipped(t, parquetFile(t, events[:7])))), typed)
}

func checkPositions(t *testing.T, files []File, m Mapping) {
	t.Helper()
	all, err := readFrom(t, files, m, Position{})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i <= len(all); i += 1 + len(all)/16 {
		at := Position{File: len(files)}
		if i < len(all) {
			at = all[i].At
		}
		for _, at := range []Position{at, {File: at.File, Row: at.Row}} {
			rest, err := readFrom(t, files, m, at)
			if err != nil {
				t.Fatalf("%+v: %v", at, err)
			}
			if diff := cmp.Diff(all[i:], rest); diff != "" && len(all[i:])+len(rest) > 0 {
				t.Fatalf("from row %d, %+v (-want +got):\n%.2000s", i, at, diff)
			}
		}
	}
}

// The same rows come out, however the text comes in.
func TestPiecesDoNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 60 {
		format := []string{CSV, NDJSON}[i%2]
		text := randomText(r, format)
		whole, err := fromReader(t, format, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		pieces, err := fromReader(t, format, &piecewise{r, text})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole, pieces); diff != "" {
			t.Fatalf("%d, %s (-whole +pieces):\n%.2000s", i, format, diff)
		}
	}
}

// piecewise reads in random pieces.
type piecewise struct {
	r    *rand.Rand
	text []byte
}

func (p *piecewise) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+p.r.IntN(1+p.r.IntN(40_000)))], p.text)
	p.text = p.text[n:]
	if len(p.text) == 0 && p.r.IntN(2) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// fromReader reads a text by its format's reader alone.
func fromReader(t testing.TB, format string, src io.Reader) ([]kept, error) {
	t.Helper()
	s, err := newShaper(&Mapping{FixedType: "f"})
	if err != nil {
		t.Fatal(err)
	}
	var w window
	w.begin(src)
	if bytes.HasPrefix(w.head(3), []byte(byteOrderMark)) {
		w.take(3, 0)
	}
	var r reader
	if format == CSV {
		r, err = newCSV("f", s, w)
	} else {
		r, err = newNDJSON("f", s, w)
	}
	if err != nil {
		return nil, err
	}
	var rows []kept
	for {
		var row Row
		at := r.position()
		if err := r.next(&row); err != nil {
			if err == io.EOF {
				return rows, nil
			}
			return rows, err
		}
		rows = append(rows, keep(&row, at))
	}
}
