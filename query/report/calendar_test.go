package report

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"leadevents"
)

func zone(t *testing.T, name string) Zone {
	t.Helper()
	z, err := LoadZone(name, "timeZone")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func moment(t *testing.T, text string) leadevents.Millis {
	t.Helper()
	m, ok := leadevents.ParseMillis([]byte(text))
	if !ok {
		t.Fatalf("%q is no moment", text)
	}
	return m
}

// What clocks did on some days, by hand.
func TestIntervalsFollowTheClocks(t *testing.T) {
	for _, c := range []struct {
		claim, zone string
		interval    Interval
		from, to    string
		want        string // starts, in UTC without seconds
	}{
		{"a day in spring has 23 hours", "Europe/Berlin", Day, "2026-03-28T23:00:00Z", "2026-03-30T22:00:00Z", "2026-03-28T23:00 2026-03-29T22:00"},
		{"a day in autumn has 25", "Europe/Berlin", Day, "2026-10-24T22:00:00Z", "2026-10-26T23:00:00Z", "2026-10-24T22:00 2026-10-25T23:00"},
		{"an hour that is shown twice is two", "Europe/Berlin", Hour, "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T00:00 2026-10-25T01:00"},
		{"the first interval may begin before the range", "Europe/Berlin", Day, "2026-05-12T10:00:00Z", "2026-05-12T10:00:00.001Z", "2026-05-11T22:00"},
		{"the range's end is not in it", "UTC", Day, "2026-05-12T00:00:00Z", "2026-05-13T00:00:00Z", "2026-05-12T00:00"},
		{"a week begins on Monday", "UTC", Week, "2026-05-12T00:00:00Z", "2026-05-18T00:00:00.001Z", "2026-05-11T00:00 2026-05-18T00:00"},
		{"and on Sunday it is the last one's", "UTC", Week, "2026-05-17T23:59:59.999Z", "2026-05-18T00:00:00Z", "2026-05-11T00:00"},
		{"months are of 28 to 31 days", "UTC", Month, "2026-01-31T00:00:00Z", "2026-04-01T00:00:00Z", "2026-01-01T00:00 2026-02-01T00:00 2026-03-01T00:00"},
		{"hours of a zone between the hours", "Asia/Kathmandu", Hour, "2026-05-12T00:20:00Z", "2026-05-12T02:00:00Z", "2026-05-12T00:15 2026-05-12T01:15"},
		{"clocks that leap half an hour make an hour longer", "Australia/Lord_Howe", Hour, "2026-10-03T14:00:00Z", "2026-10-03T17:00:00Z", "2026-10-03T13:30 2026-10-03T14:30 2026-10-03T16:00"},
		{"a day whose midnight is leapt over begins an hour late", "America/Sao_Paulo", Day, "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z", "2018-11-03T03:00 2018-11-04T03:00 2018-11-05T02:00"},
		{"a midnight that is shown twice begins the day once", "America/Havana", Day, "2025-11-01T12:00:00Z", "2025-11-03T12:00:00Z", "2025-11-01T04:00 2025-11-02T04:00 2025-11-03T05:00"},
		{"a date that was left out is no day", "Pacific/Apia", Day, "2011-12-29T12:00:00Z", "2011-12-31T11:00:00Z", "2011-12-29T10:00 2011-12-30T10:00 2011-12-31T10:00"},
		{"1970 began on a Thursday", "UTC", Week, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.001Z", "1969-12-29T00:00"},
	} {
		q := Timeseries{Range: Range{From: moment(t, c.from), To: moment(t, c.to)}, Interval: c.interval, Zone: zone(t, c.zone)}
		var got []string
		for _, s := range q.Starts() {
			got = append(got, s.Time().Format("2006-01-02T15:04"))
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: %s, want %s", c.claim, text, c.want)
		}
	}
}

// Whatever the zone and the range: the intervals lie without gaps around it, each start
// is the start of its own interval, and clocks show what it is called after.
func TestIntervalsTileTheRange(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	names := []string{"UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Apia", "Africa/Casablanca", "Asia/Tehran", "Pacific/Kiritimati", "Africa/Monrovia", "Antarctica/Troll"}
	longest := map[Interval]time.Duration{Minute: time.Minute, Hour: 2 * time.Hour, Day: 49 * time.Hour, Week: 8 * 24 * time.Hour, Month: 32 * 24 * time.Hour}
	for range 3000 {
		z := zone(t, names[random.IntN(len(names))])
		interval := Intervals()[random.IntN(5)]
		from := leadevents.Millis(random.Int64N(int64(leadevents.MaxOccurredAt)))
		if random.IntN(2) == 0 { // near a change of the clocks
			first, _, _ := z.segment(int64(from) / 1000)
			from = max(leadevents.Millis(first*1000), 0) + leadevents.Millis(random.IntN(3)-1)*leadevents.Millis(random.IntN(90_000_000))
			from = min(max(from, 0), leadevents.MaxOccurredAt-1)
		}
		to := from + 1 + leadevents.Millis(random.Int64N(int64(longest[interval]/time.Millisecond)*20))
		starts, ok := z.starts(from, to, interval, 1000)
		if !ok || len(starts) == 0 {
			t.Fatalf("%s %s from %s to %s: %d starts, %t", z, interval, from, to, len(starts), ok)
		}
		for i, s := range starts {
			if i > 0 && (s <= starts[i-1] || s <= from || s >= to) || i == 0 && s > from {
				t.Fatalf("%s %s from %s to %s: %v", z, interval, from, to, starts)
			}
			if again := z.start(int64(s)/1000, interval); again*1000 != int64(s) {
				t.Fatalf("%s %s: %s starts an interval, which starts at %s", z, interval, s, leadevents.Millis(again*1000))
			}
			next := leadevents.Millis(z.next(int64(s)/1000, interval) * 1000)
			if d := time.Duration(next-s) * time.Millisecond; d <= 0 || d > longest[interval]+time.Hour && z.String() != "Pacific/Apia" {
				t.Fatalf("%s: the %s from %s on is of %s", z, interval, s, d)
			}
		}
	}
}

func TestZonesThatAreNone(t *testing.T) {
	for _, name := range []string{"", "Local", "Berlin", "europe/berlin/x", "../etc/passwd", "UTC\x00", strings.Repeat("x", 1000)} {
		if _, err := LoadZone(name, "timeZone"); leadevents.KindOf(err) != leadevents.InvalidRequest || !strings.HasPrefix(err.Error(), "timeZone must be") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
