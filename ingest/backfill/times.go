package backfill

import (
	"bytes"
	"time"
	"unsafe"

	"leadevents"
)

// Hints of times.
const (
	hintZone     = "the time has no time zone: --" + FlagTimeZone + ", as in Europe/Berlin or UTC"
	hintLayout   = "the time is in no format that can be told: --" + FlagTimeFormat + ", as in %d.%m.%Y %H:%M:%S, seconds or millis"
	hintDigits   = "the digits may be a date or seconds since 1970: --" + FlagTimeFormat + ", %Y%m%d or seconds"
	hintFormat   = "the time is not in the format of --" + FlagTimeFormat
	hintRange    = "times before 1970 and from 2100 on are refused"
	hintNotLocal = "the time is not in RFC 3339 with an offset, as --" + FlagTimeFormat + " says"
)

// moment is what a text means.
type moment struct {
	at   leadevents.Millis
	asIs bool   // the text is RFC 3339 with an offset
	hint string // why it could not be read; empty: it could
}

// clock reads times of one format.
type clock struct {
	zone *time.Location // of times without one; nil: none
	unit int64          // of numbers, in ns; 0: told by magnitude
	// layout is Go's, empty without one.
	layout string
	strict bool // RFC 3339 only
	number bool // numbers only
}

// newClock reads Mapping.TimeFormat.
func newClock(format string, zone *time.Location) (*clock, error) {
	c := &clock{zone: zone}
	switch format {
	case "", "auto":
	case "rfc3339":
		c.strict = true
	case "seconds", "%s":
		c.number, c.unit = true, 1e9
	case "millis":
		c.number, c.unit = true, 1e6
	case "micros":
		c.number, c.unit = true, 1e3
	case "nanos":
		c.number, c.unit = true, 1
	default:
		layout, err := goLayout(format)
		if err != nil {
			return nil, err
		}
		hasZone, err := checkLayout(format, layout)
		if err != nil {
			return nil, err
		}
		if !hasZone && zone == nil {
			return nil, leadevents.Errorf(leadevents.InvalidRequest, "times of the format %q have no time zone: --%s must name it, as in Europe/Berlin or UTC", format, FlagTimeZone)
		}
		c.layout = layout
	}
	return c, nil
}

// read reads a time that is not empty.
func (c *clock) read(text []byte) moment {
	switch {
	case c.layout != "":
		zone := c.zone
		if zone == nil {
			zone = time.UTC // the layout has one
		}
		t, err := time.ParseInLocation(c.layout, unsafe.String(unsafe.SliceData(text), len(text)), zone)
		if err != nil {
			return moment{hint: hintFormat}
		}
		return momentOf(t)
	case c.number:
		at, ok := epoch(text, c.unit)
		if !ok {
			return moment{hint: hintFormat}
		}
		return inRange(at)
	}
	if at, ok := leadevents.ParseMillis(text); ok {
		return moment{at: at, asIs: true}
	}
	if c.strict {
		return moment{hint: hintNotLocal}
	}
	return c.guess(text)
}

// guess reads what is no RFC 3339, but has one meaning only: digits since 1970,
// or a date, and perhaps a time, in ISO's order.
func (c *clock) guess(text []byte) moment {
	text = bytes.TrimSpace(text)
	if looksNumeric(text) {
		if compactDate(text) {
			return moment{hint: hintDigits}
		}
		at, ok := epoch(text, 0)
		if !ok {
			return moment{hint: hintLayout}
		}
		return inRange(at)
	}
	return c.iso(text)
}

// iso reads 2026-05-12, 2026-05-12 18:34, 2026-05-12T18:34:00.123, and behind a
// time also Z, UTC, GMT, +02, +0200 or +02:00, with or without a space, as
// databases write them.
func (c *clock) iso(b []byte) moment {
	year, b, ok1 := digits(b, 4)
	b, ok2 := after(b, "-")
	month, b, ok3 := digits(b, 2)
	b, ok4 := after(b, "-")
	day, b, ok5 := digits(b, 2)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || month < 1 || month > 12 || day < 1 || day > 31 {
		return moment{hint: hintLayout}
	}
	var hour, minute, second, nanos int
	zone := c.zone
	if len(b) > 0 {
		if b[0] != ' ' && b[0]|0x20 != 't' {
			return moment{hint: hintLayout}
		}
		hour, b, ok1 = digits(b[1:], 2)
		b, ok2 = after(b, ":")
		minute, b, ok3 = digits(b, 2)
		if !ok1 || !ok2 || !ok3 || hour > 23 || minute > 59 {
			return moment{hint: hintLayout}
		}
		if rest, ok := after(b, ":"); ok {
			if second, b, ok = digits(rest, 2); !ok || second > 59 {
				return moment{hint: hintLayout}
			}
			nanos, b = fraction(b)
		}
		offset, given, ok := zoneOffset(bytes.TrimLeft(b, " "))
		if !ok {
			return moment{hint: hintLayout}
		}
		if given {
			at := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
			if at.Day() != day {
				return moment{hint: hintLayout}
			}
			return momentOf(at.Add(-offset))
		}
	}
	if zone == nil {
		return moment{hint: hintZone}
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, nanos, zone)
	if y, m, d := at.Date(); y != year || int(m) != month || d != day {
		// The 31st of June, or the hour of a change of clocks at midnight; the
		// latter is a time that nobody had.
		return moment{hint: hintLayout}
	}
	return momentOf(at)
}

// zoneOffset reads an offset, or none.
func zoneOffset(b []byte) (offset time.Duration, given, ok bool) {
	switch string(b) {
	case "":
		return 0, false, true
	case "Z", "z", "UTC", "GMT":
		return 0, true, true
	}
	if b[0] != '+' && b[0] != '-' {
		return 0, false, false
	}
	hours, rest, ok := digits(b[1:], 2)
	minutes := 0
	if ok && len(rest) > 0 {
		rest, _ = after(rest, ":")
		minutes, rest, ok = digits(rest, 2)
	}
	if !ok || len(rest) > 0 || hours > 23 || minutes > 59 {
		return 0, false, false
	}
	offset = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if b[0] == '-' {
		offset = -offset
	}
	return offset, true, true
}

// digits reads n digits.
func digits(b []byte, n int) (v int, rest []byte, ok bool) {
	if len(b) < n {
		return 0, nil, false
	}
	for _, c := range b[:n] {
		if c-'0' > 9 {
			return 0, nil, false
		}
		v = v*10 + int(c-'0')
	}
	return v, b[n:], true
}

func after(b []byte, prefix string) ([]byte, bool) {
	if len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix {
		return b[len(prefix):], true
	}
	return b, false
}

// fraction reads a point or a comma and digits, in ns.
func fraction(b []byte) (nanos int, rest []byte) {
	if len(b) < 2 || b[0] != '.' && b[0] != ',' || b[1]-'0' > 9 {
		return 0, b
	}
	scale := 100_000_000
	for i, c := range b[1:] {
		if c-'0' > 9 {
			return nanos, b[1+i:]
		}
		nanos += int(c-'0') * scale
		scale /= 10
	}
	return nanos, nil
}

func momentOf(t time.Time) moment {
	if y := t.Year(); y < 1969 || y > 2101 { // UnixMilli is defined there
		return moment{hint: hintRange}
	}
	return inRange(leadevents.MillisOf(t))
}

func inRange(at leadevents.Millis) moment {
	if at < leadevents.MinOccurredAt || at > leadevents.MaxOccurredAt {
		return moment{hint: hintRange}
	}
	return moment{at: at}
}

// appendMillis appends a moment as the API writes it.
func appendMillis(dst []byte, at leadevents.Millis) []byte {
	return append(appendStamp(dst, at.Time(), 3), 'Z')
}

// appendStamp appends 2006-01-02T15:04:05, and a fraction of so many digits. Time's
// AppendFormat, which reads a layout each time, took 40 % of reading a Parquet row.
func appendStamp(dst []byte, t time.Time, fraction int) []byte {
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05.000000000"[:20+fraction])
	}
	hour, minute, second := t.Clock()
	dst = append(appendPair(appendPair(dst, year/100), year%100), '-')
	dst = append(appendPair(dst, int(month)), '-')
	dst = append(appendPair(dst, day), 'T')
	dst = append(appendPair(dst, hour), ':')
	dst = append(appendPair(dst, minute), ':')
	dst = append(appendPair(dst, second), '.')
	nanos := t.Nanosecond()
	for range fraction {
		nanos *= 10
		dst = append(dst, byte('0'+nanos/1e9))
		nanos %= 1e9
	}
	return dst
}

func appendPair(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }
