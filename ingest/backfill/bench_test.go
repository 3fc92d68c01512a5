package backfill

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

const benchRows = 200_000

// benchNDJSON is events as the API has them, about 125 bytes each.
func benchNDJSON(n int) []byte {
	var b []byte
	for i := range n {
		b = fmt.Appendf(b, `{"phoneE164":"+1555%07d","occurredAt":"2026-05-%02dT%02d:%02d:%02dZ","metadata":{"orderId":"ord_%06X","amountUsd":%d}}`+"\n",
			i*197%10_000_000, i%28+1, i%24, i%60, i*7%60, i, i%1000)
	}
	return b
}

func benchCSV(n int, national bool) []byte {
	b := []byte("phone,occurred_at,orderId,amountUsd\n")
	for i := range n {
		phone := fmt.Sprintf("+1555%07d", i*197%10_000_000)
		if national {
			phone = fmt.Sprintf("(415) 555-%04d", i*197%10_000)
		}
		b = fmt.Appendf(b, "%s,2026-05-%02dT%02d:%02d:%02dZ,ord_%06X,%d\n", phone, i%28+1, i%24, i%60, i*7%60, i, i%1000)
	}
	return b
}

type benchEvent struct {
	Phone      string `parquet:"phone"`
	OccurredAt int64  `parquet:"occurred_at,timestamp"`
	OrderID    string `parquet:"orderId"`
	AmountUSD  int64  `parquet:"amountUsd"`
}

func benchParquet(tb testing.TB, n int) []byte {
	rows := make([]benchEvent, n)
	for i := range rows {
		rows[i] = benchEvent{fmt.Sprintf("+1555%07d", i*197%10_000_000), 1770000000000 + int64(i)*977, fmt.Sprintf("ord_%06X", i), int64(i % 1000)}
	}
	return parquetFile(tb, rows, parquet.Compression(&parquet.Zstd))
}

// BenchmarkNext reads files of 200,000 events, Open with its look at the columns
// included. Rows of a second of a core (EPYC, busy with other things, November 2026):
//
//	NDJSON plain, zstd, gzip, spaced    5.7 M, 4.1 M, 3.5 M, 4.3 M
//	CSV plain, zstd, national numbers   5.0 M, 3.7 M, 3.7 M
//	Parquet, zstd                       2.6 M
//
// Tried on the same rows and slower:
//
//	bufio.Scanner and json/v2 into a struct        0.5 M, encoding/json 0.2 M
//	encoding/csv, records alone                    3.1 M (here 5.0 M with events, Raw and metadata)
//	zstd with 2 and 4 goroutines                   0.9 and 0.5 of one's rate
//	compress/gzip                                  0.7 of klauspost's
//	time.AppendFormat for Parquet's timestamps     1.5 M
//	libphonenumber for national numbers            0.2 M
func BenchmarkNext(b *testing.B) {
	spaced := func(n int) []byte {
		var out []byte
		for _, c := range benchNDJSON(n) {
			out = append(out, c)
			if c == ',' || c == ':' && out[len(out)-2] == '"' {
				out = append(out, ' ')
			}
		}
		return out
	}
	for _, c := range []struct {
		name, file string
		content    []byte
		mapping    Mapping
	}{
		{"ndjson", "a.ndjson", benchNDJSON(benchRows), typed},
		{"ndjson.zst", "a.ndjson.zst", zstded(b, benchNDJSON(benchRows)), typed},
		{"ndjson.gz", "a.ndjson.gz", gzipped(b, benchNDJSON(benchRows)), typed},
		{"ndjson spaced", "a.ndjson", spaced(benchRows), typed},
		{"csv", "a.csv", benchCSV(benchRows, false), typed},
		{"csv.zst", "a.csv.zst", zstded(b, benchCSV(benchRows, false)), typed},
		{"csv national", "a.csv", benchCSV(benchRows, true), Mapping{FixedType: "purchase", Region: "US"}},
		{"parquet", "a.parquet", benchParquet(b, benchRows), typed},
	} {
		b.Run(c.name, func(b *testing.B) {
			files := findAll(b, write(b, c.file, c.content))
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				source, err := Open(b.Context(), files, c.mapping, Position{})
				if err != nil {
					b.Fatal(err)
				}
				var row Row
				n := 0
				for ; ; n++ {
					if _, err = source.Next(&row); err != nil {
						break
					}
					if row.Refused != "" {
						b.Fatal(row.Refused)
					}
				}
				if !errors.Is(err, io.EOF) || n != benchRows {
					b.Fatal(n, err)
				}
				if err := source.Close(); err != nil {
					b.Fatal(err)
				}
			}
			used := cpuTime(b) - before
			b.ReportMetric(float64(benchRows)*float64(b.N)/used.Seconds(), "rows/cpu-s")
		})
	}
}

// cpuTime is what the process has used so far: on a machine that others use as
// well the time that passes says little.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
