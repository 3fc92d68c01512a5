package leadevents

import (
	"testing"
	"time"
)

// What ParseMillis reads is held to a reference in package ingest, with the rest of
// a call.
func TestTheCalendarKnowsTheLengthOfEveryMonth(t *testing.T) {
	for year := uint(0); year <= 9999; year++ {
		for month := uint(1); month <= 12; month++ {
			want := uint(time.Date(int(year), time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day())
			if got := daysIn(month, year); got != want {
				t.Fatalf("daysIn(%d, %d) = %d, want %d", month, year, got, want)
			}
			first := time.Date(int(year), time.Month(month), 1, 0, 0, 0, 0, time.UTC).Unix() / 86400
			if got := daysSince1970(year, month, 1); got != first {
				t.Fatalf("daysSince1970(%d, %d, 1) = %d, want %d", year, month, got, first)
			}
		}
	}
}

// BenchmarkParseMillis reads a moment as most clients write it.
func BenchmarkParseMillis(b *testing.B) {
	text := []byte("2026-05-12T18:34:07.123Z")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := ParseMillis(text); !ok {
			b.Fatal("refused")
		}
	}
}
