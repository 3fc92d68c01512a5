package backfill

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
)

// 200 MB of text, and in the middle a line of 100 MB, are read with the same
// memory as a small file: a window of 1 MiB, and what the decompressor needs.
func TestMemoryIsConstant(t *testing.T) {
	const bound = 40 << 20 // a zstd window is 8 MiB at this level, and kept about twice
	half, line := 100<<20, 100<<20
	if testing.Short() { // with -race (Makefile)
		half, line = 8<<20, 8<<20
	}
	for _, c := range []struct {
		name, header string
		rows         []byte
		compress     func(t testing.TB, content []byte) []byte
	}{
		{"f.ndjson.zst", "", benchNDJSON(10_000), zstded},
		{"f.csv.gz", "phone,occurred_at,orderId,amountUsd\n", bytes.SplitAfterN(benchCSV(10_000, false), []byte{'\n'}, 2)[1], gzipped},
	} {
		// Both formats may have many frames one behind the other: each piece is
		// compressed once.
		rows := c.compress(t, c.rows)
		noEnd := c.compress(t, bytes.ReplaceAll(c.rows, []byte{'\n'}, []byte{' '}))
		content := c.compress(t, []byte(c.header))
		want := 1
		for part := range 2 {
			for n := 0; n < half; n += len(c.rows) {
				content = append(content, rows...)
				want += 10_000
			}
			if part == 0 {
				for n := 0; n < line; n += len(c.rows) {
					content = append(content, noEnd...)
				}
				content = append(content, c.compress(t, []byte{'\n'})...)
			}
		}
		path := write(t, c.name, content)

		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		source, err := Open(t.Context(), findAll(t, path), typed, Position{})
		if err != nil {
			t.Fatal(err)
		}
		count, refused, most := 0, 0, uint64(0)
		var row Row
		for ; ; count++ {
			if _, err = source.Next(&row); err != nil {
				break
			}
			if row.Refused != "" {
				refused++
				if row.Refused != refusedLong || len(row.Raw) > 2*MaxRaw {
					t.Fatalf("%s: line %d is refused: %s", c.name, row.Line, row.Refused)
				}
			}
			if count%50_000 == 0 {
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
			}
		}
		if !errors.Is(err, io.EOF) || count != want || refused != 1 {
			t.Errorf("%s: %d rows of %d, %d refused, %v", c.name, count, want, refused, err)
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
		if most > bound {
			t.Errorf("%s: the heap grew by %d bytes; the bound is %d", c.name, most, bound)
		}
	}
}
