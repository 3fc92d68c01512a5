package leadevents

// ParseMillis reads a moment by RFC 3339, section 5.6, and nothing beside
// it: date and time with seconds, a T between them, Z or an offset (±hh:mm,
// hours to 23, minutes to 59; -00:00 too). As the RFC has it, t and z may be
// lower case; the space that it leaves to applications is not taken, and
// neither is second 60: a moment must have a place in milliseconds. A fraction
// has any number of digits and is cut to milliseconds. The moment must lie from
// 1970-01-01T00:00:00Z on and before 2100-01-01T00:00:00Z, whatever its
// offset.
func ParseMillis(b []byte) (Millis, bool) {
	const shortest = len("2006-01-02T15:04:05Z")
	if len(b) < shortest || b[4] != '-' || b[7] != '-' || b[10]|0x20 != 't' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	// A pair that is not two digits is 100 or more, so the comparisons with the
	// largest value also refuse it.
	century, year := pair(b[0], b[1]), pair(b[2], b[3])
	month, day := pair(b[5], b[6]), pair(b[8], b[9])
	hour, minute, second := pair(b[11], b[12]), pair(b[14], b[15]), pair(b[17], b[18])
	if century > 99 || year > 99 || hour > 23 || minute > 59 || second > 59 || month-1 > 11 {
		return 0, false
	}
	year += century * 100
	if day-1 >= daysIn(month, year) {
		return 0, false
	}

	i, ms := 19, int64(0)
	if b[i] == '.' {
		i++
		first, scale := i, int64(100)
		for i < len(b) && isDecimal(b[i]) {
			ms += int64(b[i]-'0') * scale
			scale /= 10 // 0 from the fourth digit on: cut
			i++
		}
		if i == first || i == len(b) {
			return 0, false
		}
	}

	offset := int64(0) // in seconds
	switch b[i] {
	case 'Z', 'z':
		i++
	case '+', '-':
		if len(b)-i != len("+00:00") || b[i+3] != ':' {
			return 0, false
		}
		hours, minutes := pair(b[i+1], b[i+2]), pair(b[i+4], b[i+5])
		if hours > 23 || minutes > 59 {
			return 0, false
		}
		offset = int64(hours*3600 + minutes*60)
		if b[i] == '-' {
			offset = -offset
		}
		i += len("+00:00")
	}
	if i != len(b) {
		return 0, false
	}

	seconds := daysSince1970(year, month, day)*86400 + int64(hour*3600+minute*60+second) - offset
	moment := Millis(seconds*1000 + ms)
	return moment, moment >= MinOccurredAt && moment <= MaxOccurredAt
}

// pair is the value of two digits, or at least 100 if they are not.
func pair(tens, ones byte) uint {
	t, o := tens-'0', ones-'0'
	if t > 9 || o > 9 {
		return 100
	}
	return uint(t)*10 + uint(o)
}

// daysIn is the number of days of a month, 1 to 12.
func daysIn(month, year uint) uint {
	if month == 2 {
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 30 + (month+month>>3)&1
}

// daysSince1970 counts the days from 1970-01-01 to a date, by a year that
// starts in March, so that the leap day is its last: the months before m, March
// being 0, have (153m+2)/5 days. (Howard Hinnant, "chrono-Compatible Low-Level
// Date Algorithms", days_from_civil.)
func daysSince1970(year, month, day uint) int64 {
	y, m := int64(year)+400, int64(month)-3 // 400 years on: no negative numbers to divide
	if m < 0 {
		y, m = y-1, m+12
	}
	const daysTo1970 = 719468 + 146097 // from 0000-03-01, 400 years earlier
	return y*365 + y/4 - y/100 + y/400 + (153*m+2)/5 + int64(day) - 1 - daysTo1970
}

func isDecimal(c byte) bool { return c-'0' <= 9 }
