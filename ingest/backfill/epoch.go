package backfill

import (
	"bytes"
	"strconv"

	"leadevents"
)

// looksNumeric tells a JSON number, more or less.
func looksNumeric(b []byte) bool {
	if len(b) == 0 || len(b) > 40 || b[0] != '-' && b[0]-'0' > 9 {
		return false
	}
	for i, c := range b {
		if c-'0' > 9 && c != '.' && c|0x20 != 'e' && !(c == '-' && (i == 0 || b[i-1]|0x20 == 'e')) && !(c == '+' && i > 0 && b[i-1]|0x20 == 'e') {
			return false
		}
	}
	return true
}

// compactDate tells 20260512 and 20260512183400, which are also numbers.
func compactDate(b []byte) bool {
	if len(b) != 8 && len(b) != 14 {
		return false
	}
	year, rest, ok1 := digits(b, 4)
	month, rest, ok2 := digits(rest, 2)
	day, _, ok3 := digits(rest, 2)
	return ok1 && ok2 && ok3 && year >= 1970 && year < 2100 && month-1 < 12 && month > 0 && day > 0 && day <= 31
}

// epoch reads a number of units since 1970, cut to milliseconds. Without a unit
// it is told by magnitude: below 10^11 seconds (to the year 5138), below 10^14
// milliseconds (from March 1973 on), below 10^17 microseconds, else nanoseconds.
func epoch(b []byte, unit int64) (leadevents.Millis, bool) {
	whole, frac := b, []byte(nil)
	if i := bytes.IndexByte(b, '.'); i >= 0 {
		whole, frac = b[:i], b[i+1:]
	}
	n, ok := int64(0), len(whole) > 0 && len(whole) <= 19
	for _, c := range whole {
		if c-'0' > 9 {
			ok = false
			break
		}
		n = n*10 + int64(c-'0')
	}
	ok = ok && n >= 0 // 19 digits may be more than 2^63
	ms := int64(0)
	for i, c := range frac {
		if c-'0' > 9 {
			ok = false
			break
		}
		if i < 3 {
			ms = ms*10 + int64(c-'0')
		}
	}
	for i := len(frac); i < 3; i++ {
		ms *= 10
	}
	if !ok { // a sign, an exponent: 1.7155388e9
		f, err := strconv.ParseFloat(string(b), 64)
		if err != nil || f != f || f < -1e18 || f > 9e18 {
			return 0, false
		}
		n = int64(f)
		ms = int64((f - float64(n)) * 1000)
	}
	if unit == 0 {
		unit = unitOf(n)
	}
	switch unit {
	case 1e9:
		if n > 1<<50 || n < -(1<<50) {
			return leadevents.MaxOccurredAt + 1, true
		}
		return leadevents.Millis(n*1000 + ms), true
	default:
		return leadevents.Millis(floorDiv(n, 1e6/unit)), true
	}
}

// unitOf is the unit that a number of it since 1970 has by its magnitude, in ns.
func unitOf(n int64) int64 {
	switch n = max(n, -n); {
	case n < 1e11:
		return 1e9
	case n < 1e14:
		return 1e6
	case n < 1e17:
		return 1e3
	default:
		return 1
	}
}

// floorDiv is a/b towards minus infinity: before 1970 stays before 1970.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
