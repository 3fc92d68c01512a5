package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-runewidth"

	"leadevents/query/report"
)

func read[A any](t *testing.T, text string) *A {
	t.Helper()
	var a A
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	return &a
}

const ofMay = `"from":"2026-05-01T00:00:00.000Z","to":"2026-05-04T00:00:00.000Z","approximate":false`

const aTimeseries = `{` + ofMay + `,"measure":"events","interval":"day","timeZone":"UTC",
	"intervals":["2026-05-01T00:00:00.000Z","2026-05-02T00:00:00.000Z","2026-05-03T00:00:00.000Z"],
	"series":[{"eventType":"signup","group":{"kind":"value","value":"日本\u001b[2J"},"counts":[1200,0,1]},{"eventType":"signup","group":{"kind":"other"},"counts":[600,3,599]}]}`

const aFunnel = `{` + ofMay + `,"steps":[{"eventType":"webinar_registered","leads":4712345,"conversion":1,"fromPrevious":null,"medianMillis":null},
	{"eventType":"webinar_attended","leads":2356172,"conversion":0.49999,"fromPrevious":0.49999,"medianMillis":93784000},
	{"eventType":"mastery_purchase","leads":1,"conversion":0.0000002,"fromPrevious":0.0000004,"medianMillis":500}]}`

func TestChartsOfTerminals(t *testing.T) {
	for _, c := range []struct {
		claim  string
		answer answered
		on     canvas
		want   string
	}{
		{"bars, and what would move the cursor is written as an escape", read[timeseriesAnswer](t, aTimeseries), canvas{60, true}, `
events a day, 2026-05-01 00:00 to 2026-05-04 00:00 UTC

signup "日本\u001b[2J"
Fri 2026-05-01  1,200  █████████████████████████████████████
Sat 2026-05-02      0
Sun 2026-05-03      1  ▏

signup (other)
Fri 2026-05-01    600  ██████████████████▌
Sat 2026-05-02      3  ▏
Sun 2026-05-03    599  ██████████████████▌
`},
		{"where there is no Unicode", read[timeseriesAnswer](t, aTimeseries), canvas{40, false}, `
events a day, 2026-05-01 00:00 to 2026-05-04 00:00 UTC

signup "??\u001b[2J"
Fri 2026-05-01  1,200  #################
Sat 2026-05-02      0
Sun 2026-05-03      1  #

signup (other)
Fri 2026-05-01    600  #########
Sat 2026-05-02      3  #
Sun 2026-05-03    599  ########
`},
		{"a funnel", read[funnelAnswer](t, aFunnel), canvas{80, true}, `
funnel, 2026-05-01 00:00 to 2026-05-04 00:00 UTC

1 webinar_registered  4,712,345  100.0%  ███████████████████████████████████████
                      ↓ 50.0%, median 1d 2h
2 webinar_attended    2,356,172   50.0%  ███████████████████▌
                      ↓ <0.1%, median 500ms
3 mastery_purchase            1   <0.1%  ▏
`},
		{"intervals that the range cuts are named", read[timeseriesAnswer](t, `{"from":"2026-05-01T00:00:00.000Z","to":"2026-05-02T12:00:00.000Z","approximate":false,"measure":"leads","interval":"day","timeZone":"Europe/Berlin","intervals":["2026-04-30T22:00:00.000Z","2026-05-01T22:00:00.000Z"],"series":[{"eventType":"signup","counts":[2,1]}]}`), canvas{40, false}, `
leads a day, 2026-05-01 02:00 to 2026-05-02 14:00 Europe/Berlin

signup
Fri 2026-05-01  2  #####################
Sat 2026-05-02  1  ###########

The range has only a part of the first and the last day.
`},
		{"a retention", read[retentionAnswer](t, `{`+ofMay+`,"period":"day","timeZone":"UTC","cohorts":[{"start":"2026-05-01T00:00:00.000Z","leads":1000,"returned":[1000,1],"shares":[1,0.001]},{"start":"2026-05-02T00:00:00.000Z","leads":0,"returned":[0],"shares":[null]}]}`), canvas{80, true}, `
retention by day, 2026-05-01 00:00 to 2026-05-04 00:00 UTC

first in        leads   day 0   day 1
Fri 2026-05-01  1,000  100.0%    0.1%
Sat 2026-05-02      0       -
`},
		{"of nothing no empty axes are drawn", read[timeseriesAnswer](t, `{`+ofMay+`,"measure":"leads","interval":"hour","timeZone":"UTC","intervals":["2026-05-01T00:00:00.000Z"],"series":[{"eventType":"sigunp","counts":[0]}]}`), canvas{80, true}, `
leads an hour, 2026-05-01 00:00 to 2026-05-04 00:00 UTC

There are no such events. ` + "`leadevents events --types`" + ` shows which types
there are, and when the first and the last event of each occurred.
`},
	} {
		got := c.answer.chart(c.on)
		if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), got); diff != "" {
			t.Errorf("%s (want -, got +):\n%s", c.claim, diff)
		}
	}
}

// Hundreds of intervals are columns that fit, whatever the width; the lowest that is not
// nothing is seen.
func TestManyIntervalsAreColumns(t *testing.T) {
	a := read[timeseriesAnswer](t, aTimeseries)
	first := a.Intervals[0]
	a.Intervals = nil
	a.Series = a.Series[:1]
	a.Series[0].Counts = nil
	for i := range 720 {
		a.Intervals = append(a.Intervals, first.AddDate(0, 0, i))
		a.Series[0].Counts = append(a.Series[0].Counts, uint64(i)*1000)
	}
	for _, on := range []canvas{{40, true}, {80, false}, {160, true}} {
		chart := a.chart(on)
		lines := strings.Split(strings.TrimSuffix(chart, "\n"), "\n")
		if len(lines) != 3+columnsHigh+3 {
			t.Errorf("%d lines:\n%s", len(lines), chart)
		}
		for _, line := range lines[2:] {
			if w := runewidth.StringWidth(line); w > on.width {
				t.Errorf("%d columns of %d: %s", w, on.width, line)
			}
		}
		if !strings.Contains(chart, "a column is the mean of") {
			t.Errorf("the chart does not say what a column is:\n%s", chart)
		}
	}
}

func TestGroupsAreToldApartInCharts(t *testing.T) {
	for text, want := range map[string]string{
		`{"kind":"value","value":"gold"}`:    "gold",
		`{"kind":"value","value":"5"}`:       `"5"`,
		`{"kind":"value","value":5}`:         "5",
		`{"kind":"value","value":"true"}`:    `"true"`,
		`{"kind":"value","value":true}`:      "true",
		`{"kind":"value","value":""}`:        `""`,
		`{"kind":"value","value":" a"}`:      `" a"`,
		`{"kind":"value","value":"(other)"}`: `"(other)"`,
		`{"kind":"value","value":"a\nb"}`:    `"a\nb"`,
		`{"kind":"other"}`:                   "(other)",
		`{"kind":"missing"}`:                 "(missing)",
	} {
		if got := read[groupAnswer](t, text).String(); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

// A date on the command line begins when it does in the intervals of a report, also where
// clocks leap over midnight, or show it twice, and where a date was left out.
func TestADateBeginsWhereItsIntervalDoes(t *testing.T) {
	for _, c := range []struct{ zone, date, want string }{
		{"UTC", "2026-05-12", "2026-05-12T00:00:00.000Z"},
		{"Europe/Berlin", "2026-05-12", "2026-05-11T22:00:00.000Z"},
		{"America/Santiago", "2026-09-06", "2026-09-06T04:00:00.000Z"},
		{"America/Havana", "2026-03-08", "2026-03-08T05:00:00.000Z"},
		{"America/Havana", "2026-11-01", "2026-11-01T04:00:00.000Z"},
		{"Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00.000Z"},
		{"Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00.000Z"},
		{"Asia/Tokyo", "1970-01-01", ""},
		{"America/New_York", "2099-12-31", "2099-12-31T05:00:00.000Z"},
		{"America/New_York", "2100-01-01", ""},
		{"UTC", "2026-02-29", ""},
	} {
		zone, err := report.LoadZone(c.zone, "timeZone")
		if err != nil {
			t.Fatal(err)
		}
		got, err := momentOf("--from", c.date, zone)
		if err != nil && c.want == "" {
			continue
		}
		if err != nil || got.String() != c.want {
			t.Errorf("%s in %s begins at %s (%v), want %s", c.date, c.zone, got, err, c.want)
			continue
		}
		day := report.Timeseries{Range: report.Range{From: got, To: got + 1}, Interval: report.Day, Zone: zone}
		if starts := day.Starts(); starts[0] != got {
			t.Errorf("%s in %s begins at %s, and its interval at %s", c.date, c.zone, got, starts[0])
		}
	}
}
