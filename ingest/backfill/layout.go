package backfill

import (
	"strings"
	"time"

	"leadevents"
)

// strftime's conversions, as Go's layouts have them. A fraction of a second has
// none: Go reads one behind the seconds in any case.
var strftime = map[string]string{
	"Y": "2006", "y": "06", "m": "01", "-m": "1", "d": "02", "-d": "2", "e": "_2", "j": "002",
	"H": "15", "I": "03", "-I": "3", "M": "04", "S": "05", "p": "PM", "P": "pm",
	"b": "Jan", "h": "Jan", "B": "January", "a": "Mon", "A": "Monday",
	"z": "Z0700", ":z": "Z07:00", "F": "2006-01-02", "T": "15:04:05", "R": "15:04", "D": "01/02/06",
	"%": "%", "n": "\n", "t": "\t",
}

// goLayout is a layout as Go has it.
func goLayout(format string) (string, error) {
	if !strings.Contains(format, "%") {
		return format, nil
	}
	var b strings.Builder
	for rest := format; rest != ""; {
		before, conversion, found := strings.Cut(rest, "%")
		if strings.ContainsAny(before, "0123456789") {
			return "", leadevents.Errorf(leadevents.InvalidRequest, "the time format %q has digits that stand for themselves, which cannot be told from fields", format)
		}
		b.WriteString(before)
		if !found {
			break
		}
		n := 1
		if strings.HasPrefix(conversion, "-") || strings.HasPrefix(conversion, ":") {
			n = 2
		}
		n = min(n, len(conversion))
		name := conversion[:n]
		rest = conversion[n:]
		if name == "f" { // behind ".", or ","
			layout := strings.TrimRight(b.String(), ".,")
			b.Reset()
			b.WriteString(layout)
			continue
		}
		layout, ok := strftime[name]
		if !ok {
			return "", leadevents.Errorf(leadevents.InvalidRequest, "the time format %q has %%%s, which is not known; a zone's name (%%Z) does not tell its offset: --%s does", format, name, FlagTimeZone)
		}
		b.WriteString(layout)
	}
	return b.String(), nil
}

// checkLayout tells whether a layout has a zone, and refuses one that forgets
// the day: what it writes must be read as the same.
func checkLayout(format, layout string) (hasZone bool, _ error) {
	east := time.Date(2031, 11, 23, 22, 47, 58, 0, time.FixedZone("", 5*3600+1800))
	utc := time.Date(2031, 11, 23, 22, 47, 58, 0, time.UTC)
	text := utc.Format(layout)
	got, err := time.ParseInLocation(layout, text, time.UTC)
	if err != nil || got.Year() != 2031 || got.YearDay() != utc.YearDay() {
		return false, leadevents.Errorf(leadevents.InvalidRequest, "the time format %q has no year, month and day; it must be auto, rfc3339, seconds, millis, micros, nanos, or a layout such as %%d.%%m.%%Y %%H:%%M or 02.01.2006 15:04", format)
	}
	if strings.Contains(layout, "MST") {
		return false, leadevents.Errorf(leadevents.InvalidRequest, "the time format %q has a zone's name, which does not tell its offset: --%s does", format, FlagTimeZone)
	}
	return east.Format(layout) != text, nil
}
