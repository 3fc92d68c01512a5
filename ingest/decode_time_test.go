package ingest

import (
	"testing"
	"time"

	"leadevents"
)

func TestOccurredAtIsRFC3339WithAnOffset(t *testing.T) {
	good := map[string]string{
		"2026-05-12T18:34:00Z":                            "2026-05-12T18:34:00.000Z",
		"2026-05-12t18:34:00z":                            "2026-05-12T18:34:00.000Z",
		"2026-05-12T18:34:00+02:00":                       "2026-05-12T16:34:00.000Z",
		"2026-05-12T18:34:00-00:00":                       "2026-05-12T18:34:00.000Z",
		"2026-05-12T18:34:00+23:59":                       "2026-05-11T18:35:00.000Z",
		"2026-05-12T18:34:00-23:59":                       "2026-05-13T18:33:00.000Z",
		"2026-05-12T18:34:00.1Z":                          "2026-05-12T18:34:00.100Z",
		"2026-05-12T18:34:00.123Z":                        "2026-05-12T18:34:00.123Z",
		"2026-05-12T18:34:00.1239Z":                       "2026-05-12T18:34:00.123Z",
		"2026-05-12T18:34:00.999999999-05:30":             "2026-05-13T00:04:00.999Z",
		"2026-05-12T18:34:00.00099999999999999999999999Z": "2026-05-12T18:34:00.000Z",
		"2024-02-29T00:00:00Z":                            "2024-02-29T00:00:00.000Z",
		"2000-02-29T23:59:59Z":                            "2000-02-29T23:59:59.000Z",
		"1970-01-01T00:00:00Z":                            "1970-01-01T00:00:00.000Z",
		"1969-12-31T23:00:00-01:00":                       "1970-01-01T00:00:00.000Z",
		"2099-12-31T23:59:59.999Z":                        "2099-12-31T23:59:59.999Z",
		"2100-01-01T00:59:59.9999+01:00":                  "2099-12-31T23:59:59.999Z",
	}
	for in, want := range good {
		if got, ok := leadevents.ParseMillis([]byte(in)); !ok || got.String() != want {
			t.Errorf("leadevents.ParseMillis(%q) = %v, %v; want %s", in, got, ok, want)
		}
		if got, ok := referenceOccurredAt(in); !ok || got.String() != want {
			t.Errorf("the reference reads %q as %v, %v; want %s", in, got, ok, want)
		}
	}
	for _, in := range badTimes() {
		if got, ok := leadevents.ParseMillis([]byte(in)); ok {
			t.Errorf("leadevents.ParseMillis(%q) = %v; want it refused", in, got)
		}
		if got, ok := referenceOccurredAt(in); ok {
			t.Errorf("the reference reads %q as %v; want it refused", in, got)
		}
	}
}

func badTimes() []string {
	return []string{
		"", "Z", "2026", "2026-05-12", "T", "18:34:00Z", "1715539440", "now",
		"2026-05-12T18:34:00", "2026-05-12T18:34:00.", "2026-05-12T18:34:00.Z", "2026-05-12T18:34:00.5", // no offset
		"2026-05-12 18:34:00Z", "2026-05-12_18:34:00Z", "2026-05-12\x1418:34:00Z", // no T
		"2026-05-12T18:34Z", "2026-05-12T18Z", "20260512T183400Z", "2026-W20-2T18:34:00Z", // ISO 8601, not RFC 3339
		"2026-05-12T18:34:00,5Z", "2026-05-12T8:34:00Z", "2026-5-12T18:34:00Z", "26-05-12T18:34:00Z", "+2026-05-12T18:34:00Z",
		"2026-05-12T24:00:00Z", "2026-05-12T18:60:00Z", "2026-05-12T18:34:60Z", "2016-12-31T23:59:60Z", // no leap second
		"2026-13-12T18:34:00Z", "2026-00-12T18:34:00Z", "2026-05-00T18:34:00Z", "2026-05-32T18:34:00Z", "2026-04-31T18:34:00Z",
		"2026-02-29T18:34:00Z", "2024-02-30T18:34:00Z", "1900-02-29T00:00:00Z", "2100-02-29T00:00:00Z", // leap days
		"2026-05-12T18:34:00+2:00", "2026-05-12T18:34:00+0200", "2026-05-12T18:34:00+02", "2026-05-12T18:34:00+02:0",
		"2026-05-12T18:34:00+24:00", "2026-05-12T18:34:00+02:60", "2026-05-12T18:34:00+02:00Z", "2026-05-12T18:34:00Z ",
		" 2026-05-12T18:34:00Z", "2026-05-12T18:34:00ZZ", "2026-05-12T18:34:00.5+", "2026-05-12T18:34:00 +02:00",
		"2026-05-12T18:34:00UTC", "2026-05-12T18:34:00\u221202:00", "２026-05-12T18:34:00Z",
		"1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00+00:01", "2100-01-01T00:00:00Z", "2099-12-31T23:59:59-00:01", // out of range
		"0000-01-01T00:00:00Z", "0000-02-29T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "10000-01-01T00:00:00Z",
	}
}

func TestOccurredAtReadsEveryDayOfTheCalendar(t *testing.T) {
	for day := time.Unix(0, 0).UTC(); day.Year() < 2100; day = day.AddDate(0, 0, 1) {
		in := day.Add(12*time.Hour + 34*time.Minute + 56789*time.Millisecond)
		got, ok := leadevents.ParseMillis([]byte(in.Format(time.RFC3339Nano)))
		if !ok || got != leadevents.MillisOf(in) {
			t.Fatalf("leadevents.ParseMillis(%s) = %v, %v", in.Format(time.RFC3339Nano), got, ok)
		}
	}
}

// FuzzOccurredAt holds the parser against a grammar and time.Parse.
func FuzzOccurredAt(f *testing.F) {
	for _, in := range badTimes() {
		f.Add(in)
	}
	for _, in := range []string{"2026-05-12T18:34:00Z", "2026-05-12t18:34:00.123456789+02:00", "1969-12-31T23:00:00-01:00", "2099-12-31T23:59:59.999999z"} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, gotOK := leadevents.ParseMillis([]byte(in))
		want, wantOK := referenceOccurredAt(in)
		if gotOK != wantOK || gotOK && got != want {
			t.Fatalf("leadevents.ParseMillis(%q) = %v, %v; the reference: %v, %v", in, got, gotOK, want, wantOK)
		}
	})
}
