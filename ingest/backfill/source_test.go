package backfill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"leadevents"
)

func TestFilesFollowOneAnother(t *testing.T) {
	names := []string{
		write(t, "a.csv", []byte("phone,date\n+1551,2026-05-12T18:34:00Z\n")),
		write(t, "empty.csv", nil),
		write(t, "b.ndjson.gz", gzipped(t, []byte(`{"mobile":"+1552","timestamp":1778610840}`+"\n"))),
		write(t, "header.csv", []byte("phone,date\n")),
		write(t, "c.csv.zst", zstded(t, []byte("when;who\n2026-05-12T18:34:00Z;+1553\n"))),
	}
	m := typed
	files := findAll(t, names[:4]...)
	rows, err := readFrom(t, files, m, Position{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"2 purchase +1551 2026-05-12T18:34:00Z ", "1 purchase +1552 2026-05-12T18:34:00.000Z "}
	if diff := cmp.Diff(want, shorts(rows)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if rows[0].At.File != 0 || rows[1].At.File != 2 {
		t.Errorf("positions %+v, %+v", rows[0].At, rows[1].At)
	}
	m.Phone, m.OccurredAt = "who", "when"
	if rows, err := readFrom(t, findAll(t, names[4]), m, Position{}); err != nil || len(rows) != 1 || rows[0].Phone != "+1553" {
		t.Errorf("%+v, %v", rows, err)
	}
	if rows, err := readFrom(t, files, typed, Position{File: 4}); err != nil || rows != nil {
		t.Errorf("from the end: %+v, %v", rows, err)
	}
	if _, err := readFrom(t, files, typed, Position{File: 5}); leadevents.KindOf(err) != leadevents.InvalidRequest {
		t.Errorf("from behind the end: %v", err)
	}
}

// stdin makes a text standard input.
func stdin(t *testing.T, text []byte) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdin
	os.Stdin = r
	written := make(chan error, 1)
	go func() {
		_, err := w.Write(text)
		written <- errors.Join(err, w.Close())
	}()
	t.Cleanup(func() {
		os.Stdin = old
		if err := errors.Join(<-written, r.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestStandardInput(t *testing.T) {
	rows := []benchEvent{{"+1555", 1778610840000, "o", 7}}
	ndjson := []byte(`{"phone":"+1555","occurred_at":"2026-05-12T18:34:00.000Z","orderId":"o","amountUsd":7}`)
	for name, content := range map[string][]byte{
		"ndjson": ndjson, "ndjson.gz": gzipped(t, ndjson), "ndjson.zst": zstded(t, ndjson),
		"parquet": parquetFile(t, rows), "parquet.gz": gzipped(t, parquetFile(t, rows)),
	} {
		t.Run(name, func(t *testing.T) {
			stdin(t, content)
			got, err := readFrom(t, findAll(t, Stdin), typed, Position{})
			if err != nil || len(got) != 1 || got[0].short() != `1 purchase +1555 2026-05-12T18:34:00.000Z {"orderId":"o","amountUsd":7}` {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	for _, at := range []Position{{Row: 1}, {File: 1}} {
		if _, err := Open(t.Context(), findAll(t, Stdin), typed, at); leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Errorf("at %+v: %v", at, err)
		}
	}
}

func TestFilesThatCannotBeReadOn(t *testing.T) {
	var text bytes.Buffer
	random := rand.New(rand.NewPCG(5, 6))
	for i := range 50_000 {
		fmt.Fprintf(&text, `{"phone":"+1555%07d",`+when+`,"a":%d}`+"\n", i, random.Uint64())
	}
	flip := func(b []byte, at, n int) []byte {
		b = bytes.Clone(b)
		for i := range n {
			b[at+i] ^= 0xA5
		}
		return b
	}
	gz, zst := gzipped(t, text.Bytes()), zstded(t, text.Bytes())
	var events []benchEvent
	for i := range 20_000 {
		events = append(events, benchEvent{fmt.Sprintf("+1555%07d", i), int64(random.IntN(1e12)), fmt.Sprint(random.Uint64()), 7})
	}
	pq := parquetFile(t, events, parquet.MaxRowsPerRowGroup(5_000))
	for _, c := range []struct {
		name    string
		content []byte
		least   int
		says    string
	}{
		{"corrupt.ndjson.gz", flip(gz, len(gz)/2, 64), 1_000, "decompress gzip"},
		{"cut.ndjson.gz", gz[:len(gz)/2], 1_000, "decompress gzip: the file is cut off"},
		{"sum.ndjson.gz", flip(gz, len(gz)-8, 4), 50_000, "decompress gzip: the file is damaged, nobody knows where"},
		{"corrupt.ndjson.zst", flip(zst, len(zst)/2, 64), 1_000, "decompress zstd"},
		{"cut.ndjson.zst", zst[:len(zst)/2], 1_000, "decompress zstd: the file is cut off"},
		{"broken.ndjson.gz", append(gz[:3:3], bytes.Repeat([]byte{0xFF}, 100)...), 0, "decompress gzip"},
		{"behind.ndjson.gz", append(bytes.Clone(gz), "garbage"...), 50_000, "decompress gzip"},
		{"cut.parquet", pq[:len(pq)-100], 0, "Parquet"},
		{"corrupt.parquet", flip(pq, len(pq)/2, 64), 1_000, "Parquet"},
		{"cut.parquet.gz", gzipped(t, pq)[:len(pq)/3], 0, "decompress gzip"},
	} {
		files := findAll(t, write(t, c.name, c.content), write(t, "next.ndjson", text.Bytes()))
		rows, err := readFrom(t, files, typed, Position{})
		broken, ok := errors.AsType[*FileError](err)
		if !ok {
			t.Errorf("%s: %d rows, %v", c.name, len(rows), err)
			continue
		}
		if len(rows) < c.least || broken.Name != files[0].Name || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), files[0].Name) {
			t.Errorf("%s: %d rows, %v", c.name, len(rows), err)
		}
		if broken.Line != uint64(len(rows)) || broken.Offset < 0 || broken.Offset > files[0].Size {
			t.Errorf("%s: %d rows, the error is of line %d, byte %d", c.name, len(rows), broken.Line, broken.Offset)
		}
		// Only gzip's sum, at the end of all, tells of some damage.
		if c.name == "corrupt.ndjson.gz" {
			rows = rows[:c.least]
		}
		for i, row := range rows {
			if row.Refused != "" || row.Phone != fmt.Sprintf("+1555%07d", i) {
				t.Fatalf("%s: row %d is %+v", c.name, i, row)
			}
		}
	}
}

func TestTheContextEndsReading(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	source, err := Open(ctx, findAll(t, write(t, "f.ndjson", benchNDJSON(50_000))), typed, Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	var row Row
	if _, err := source.Next(&row); err != nil {
		t.Fatal(err)
	}
	cancel()
	n := 0
	for ; err == nil; n++ {
		_, err = source.Next(&row)
	}
	if !errors.Is(err, context.Canceled) || n > 20_000 {
		t.Errorf("%d more rows, then %v", n, err)
	}
}

func TestProgress(t *testing.T) {
	files := findAll(t, write(t, "a.ndjson.gz", gzipped(t, benchNDJSON(20_000))), write(t, "b.parquet", benchParquet(t, 20_000)), write(t, "c.csv", benchCSV(20_000, false)))
	var want int64
	for _, f := range files {
		want += f.Size
	}
	source, err := Open(t.Context(), files, typed, Position{})
	if err != nil {
		t.Fatal(err)
	}
	var row Row
	last := int64(0)
	for err == nil {
		_, err = source.Next(&row)
		read, size := source.Progress()
		if read < last || read > size || size != want {
			t.Fatalf("%d of %d after %d", read, size, last)
		}
		last = read
	}
	if !errors.Is(err, io.EOF) || last != want {
		t.Errorf("at the end %d of %d, %v", last, want, err)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}
	if _, err := source.Next(&row); err == nil {
		t.Error("a closed source has rows")
	}
}
