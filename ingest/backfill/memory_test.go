package backfill

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// 200 MB of text, and in the middle a line of 100 MB, are read with the same
// memory as a small file: a window of 1 MiB, and what the decompressor needs.
func TestMemoryIsConstant(t *testing.T) {
	const (
		bound = 40 << 20 // a zstd window is 8 MiB at this level, and kept about twice
		half  = 100 << 20
		line  = 100 << 20
	)
	for _, c := range []struct {
		name, header string
		rows         []byte
		compress     func(w io.Writer) (io.WriteCloser, error)
	}{
		{"f.ndjson.zst", "", benchNDJSON(10_000), func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }},
		{"f.csv.gz", "phone,occurred_at,orderId,amountUsd\n", bytes.SplitAfterN(benchCSV(10_000, false), []byte{'\n'}, 2)[1], func(w io.Writer) (io.WriteCloser, error) {
			return gzip.NewWriterLevel(w, gzip.BestSpeed)
		}},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		z, err := c.compress(file)
		if err != nil {
			t.Fatal(err)
		}
		w := bufio.NewWriter(z)
		want := 1
		put := func(b []byte) {
			if _, err := w.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		put([]byte(c.header))
		for part := range 2 {
			for n := 0; n < half; n += len(c.rows) {
				put(c.rows)
				want += 10_000
			}
			if part == 0 {
				put([]byte(`{"phone":"`))
				for n := 0; n < line; n += len(c.rows) {
					put(bytes.ReplaceAll(c.rows, []byte{'\n'}, []byte{' '}))
				}
				put([]byte{'\n'})
			}
		}
		if err := errors.Join(w.Flush(), z.Close(), file.Close()); err != nil {
			t.Fatal(err)
		}

		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		source, err := Open(t.Context(), findAll(t, path), typed, Position{})
		if err != nil {
			t.Fatal(err)
		}
		rows, refused, most := 0, 0, uint64(0)
		var row Row
		for ; ; rows++ {
			if _, err = source.Next(&row); err != nil {
				break
			}
			if row.Refused != "" {
				refused++
				if row.Refused != refusedLong || len(row.Raw) > 2*MaxRaw {
					t.Fatalf("%s: line %d is refused: %s", c.name, row.Line, row.Refused)
				}
			}
			if rows%50_000 == 0 {
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
			}
		}
		if !errors.Is(err, io.EOF) || rows != want || refused != 1 {
			t.Errorf("%s: %d rows of %d, %d refused, %v", c.name, rows, want, refused, err)
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
		if most > bound {
			t.Errorf("%s: the heap grew by %d bytes; the bound is %d", c.name, most, bound)
		}
	}
}
