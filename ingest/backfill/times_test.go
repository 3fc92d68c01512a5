package backfill

import (
	"strings"
	"testing"
	"time"

	"leadevents"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestTimes(t *testing.T) {
	const at = "2026-05-12T18:34:00.000Z"
	berlin := zone(t, "Europe/Berlin")
	for _, c := range []struct {
		format string
		zone   *time.Location
		text   string
		want   string // or the hint
	}{
		{"", nil, "2026-05-12T18:34:00Z", "as is"},
		{"auto", nil, "2026-05-12T20:34:00.999999+02:00", "as is"},
		{"", nil, "1778610840", at},
		{"", nil, "1778610840000", at},
		{"", nil, "1778610840000000", at},
		{"", nil, "1778610840000999999", at},
		{"", nil, "1778610840.0009", at},
		{"", nil, "1778610840.5", "2026-05-12T18:34:00.500Z"},
		{"", nil, "1.77861084e9", at},
		{"", nil, "1.77861084E+12", at},
		{"", nil, "0", "1970-01-01T00:00:00.000Z"},
		{"", nil, "-1", hintRange},
		{"", nil, "-0.5", hintRange},
		{"", nil, "9999999999999999999", hintLayout},
		{"", nil, "99999999999999999999", hintLayout},
		{"", nil, "1e400", hintLayout},
		{"", nil, "1-2", hintLayout},
		{"", nil, "20260512", hintDigits},
		{"", nil, "20260512183400", hintDigits},
		{"", nil, "2026-05-12 18:34:00", hintZone},
		{"", nil, "2026-05-12T18:34:00", hintZone},
		{"", nil, "2026-05-12", hintZone},
		{"", time.UTC, "2026-05-12 18:34:00", at},
		{"", time.UTC, "2026-05-12 18:34", at},
		{"", time.UTC, " 2026-05-12T18:34:00.0009 ", at},
		{"", time.UTC, "2026-05-12 18:34:00,5", "2026-05-12T18:34:00.500Z"},
		{"", time.UTC, "2026-05-12", "2026-05-12T00:00:00.000Z"},
		{"", berlin, "2026-05-12 20:34:00", at},
		{"", berlin, "2026-01-12 19:34:00", "2026-01-12T18:34:00.000Z"},
		{"", berlin, "2026-05-12", "2026-05-11T22:00:00.000Z"},
		{"", nil, "2026-05-12 18:34:00Z", at},
		{"", berlin, "2026-05-12 18:34:00 UTC", at},
		{"", nil, "2026-05-12 20:34:00+02", at},
		{"", nil, "2026-05-12 20:34:00.000+0200", at},
		{"", nil, "2026-05-12 13:04:00 -05:30", at},
		{"", nil, "2026-05-12 20:34:00+02:0", hintLayout},
		{"", nil, "2026-05-12 20:34:00 CEST", hintLayout},
		{"", time.UTC, "2026-02-30", hintLayout},
		{"", nil, "2026-02-30 00:00:00Z", hintLayout},
		{"", time.UTC, "2026-13-01", hintLayout},
		{"", time.UTC, "2026-05-12 24:00", hintLayout},
		{"", time.UTC, "2026-05-12 18", hintLayout},
		{"", time.UTC, "2026-05-12x", hintLayout},
		{"", time.UTC, "1969-12-31", hintRange},
		{"", time.UTC, "2100-01-01", hintRange},
		{"", time.UTC, "05/12/2026", hintLayout},
		{"", time.UTC, "yesterday", hintLayout},
		{"rfc3339", time.UTC, "2026-05-12T18:34:00Z", "as is"},
		{"rfc3339", time.UTC, "2026-05-12 18:34:00", hintNotLocal},
		{"seconds", nil, "1778610840", at},
		{"%s", nil, "1778610840", at},
		{"seconds", nil, "1778610840000", hintRange},
		{"seconds", nil, "20260512", "1970-08-23T11:55:12.000Z"},
		{"seconds", nil, "2026-05-12T18:34:00Z", hintFormat},
		{"millis", nil, "1778610840000", at},
		{"millis", nil, "1000", "1970-01-01T00:00:01.000Z"},
		{"millis", nil, "-1", hintRange},
		{"micros", nil, "1778610840000999", at},
		{"micros", nil, "-1", hintRange},
		{"nanos", nil, "1778610840000999999", at},
		{"%d.%m.%Y %H:%M", berlin, "12.05.2026 20:34", at},
		{"%d.%m.%Y %H:%M", berlin, "12.05.2026", hintFormat},
		{"%m/%d/%y %I:%M:%S %p", time.UTC, "05/12/26 06:34:00 PM", at},
		{"%Y-%m-%dT%H:%M:%S.%f%z", nil, "2026-05-12T20:34:00.000123+0200", at},
		{"%Y-%m-%dT%H:%M:%S%:z", nil, "2026-05-12T20:34:00+02:00", at},
		{"%Y%m%d", time.UTC, "20260512", "2026-05-12T00:00:00.000Z"},
		{"%F %T", time.UTC, "2026-05-12 18:34:00", at},
		{"%e %B %Y", time.UTC, "12 May 2026", "2026-05-12T00:00:00.000Z"},
		{"%Y %j", time.UTC, "2026 132", "2026-05-12T00:00:00.000Z"},
		{"02.01.2006 15:04", berlin, "12.05.2026 20:34", at},
		{time.RFC1123Z, nil, "Tue, 12 May 2026 20:34:00 +0200", at},
	} {
		clock, err := newClock(c.format, c.zone)
		if err != nil {
			t.Errorf("%s: %v", c.format, err)
			continue
		}
		m := clock.read([]byte(c.text))
		got := m.hint
		switch {
		case m.asIs:
			got = "as is"
			if want, ok := leadevents.ParseMillis([]byte(c.text)); !ok || want != m.at {
				t.Errorf("%q is %s, not %s", c.text, m.at, want)
			}
		case got == "":
			got = string(appendMillis(nil, m.at))
		}
		if got != c.want {
			t.Errorf("format %q, %q: %s, want %s", c.format, c.text, got, c.want)
		}
	}
}

func TestTimeFormatsThatAreNone(t *testing.T) {
	for format, says := range map[string]string{
		"%d.%m.%Y":        "have no time zone: --time-zone",
		"2006-01-02":      "have no time zone: --time-zone",
		"%H:%M":           "no year, month and day",
		"unix":            "no year, month and day",
		"%Y-%m":           "no year, month and day",
		"%Y-%m-%d %Q":     "%Q, which is not known",
		"%Y-%m-%d %Z":     "%Z, which is not known",
		"%Y-%m-%d%":       "%, which is not known",
		"%Y-%m-%d 2":      "digits that stand for themselves",
		"2006-01-02 MST":  "a zone's name",
		"%d/%m/%Y %H%M%S": "have no time zone",
	} {
		if _, err := newClock(format, nil); leadevents.KindOf(err) != leadevents.InvalidRequest || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", format, err, says)
		}
	}
}

func TestEveryMomentIsWrittenAndRead(t *testing.T) {
	clock, err := newClock("", nil)
	if err != nil {
		t.Fatal(err)
	}
	for at := leadevents.MinOccurredAt; at <= leadevents.MaxOccurredAt; at += 86_399_999 * 7 {
		text := appendMillis(nil, at)
		if want := at.String(); string(text) != want {
			t.Fatalf("%s is written as %s", want, text)
		}
		if m := clock.read(text); !m.asIs || m.at != at {
			t.Fatalf("%s is read as %+v", text, m)
		}
	}
}

func TestAppendStamp(t *testing.T) {
	for _, year := range []int{-5, 0, 999, 1969, 2026, 9999, 12345} {
		at := time.Date(year, 2, 3, 4, 5, 6, 7_089_001, time.UTC)
		for fraction, layout := range map[int]string{3: "2006-01-02T15:04:05.000", 6: "2006-01-02T15:04:05.000000", 9: "2006-01-02T15:04:05.000000000"} {
			if got, want := string(appendStamp(nil, at, fraction)), at.Format(layout); got != want {
				t.Errorf("%s is written as %s", want, got)
			}
		}
	}
}
