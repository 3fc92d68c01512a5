package report

import (
	"time"
	_ "time/tzdata" // zones for a machine that has none; one's own, which may be newer, come first

	"leadevents"
	"leadevents/query/audience"
)

// Interval is how long one interval of a report is, by the calendar of its time zone.
type Interval string

// The intervals. A week begins on Monday.
const (
	Minute Interval = "minute"
	Hour   Interval = "hour"
	Day    Interval = "day"
	Week   Interval = "week"
	Month  Interval = "month"
)

// Intervals lists them, the shortest first.
func Intervals() []Interval { return []Interval{Minute, Hour, Day, Week, Month} }

// Zone is an IANA time zone.
type Zone struct{ *time.Location }

// UTC is the zone of a report that names none.
var UTC = Zone{time.UTC}

// LoadZone finds a zone by its name; at names it in the error.
func LoadZone(name, at string) (Zone, error) {
	location, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" { // which is this machine's
		return Zone{}, leadevents.Errorf(leadevents.InvalidRequest, "%s must be a time zone of the IANA database, such as UTC or Europe/Berlin; got %s", at, audience.Quoted(name))
	}
	return Zone{location}, nil
}

// segment is the stretch of time around a moment in which the clocks of a zone run through.
// offset is what they are ahead of UTC, in seconds; first and end are in seconds since
// 1970, end is not in it.
func (z Zone) segment(at int64) (first, end, offset int64) {
	t := time.Unix(at, 0).In(z.Location)
	_, seconds := t.Zone()
	from, to := t.ZoneBounds()
	first, end = -1<<60, 1<<60
	if !from.IsZero() {
		first = from.Unix()
	}
	if !to.IsZero() {
		// Go's end of a stretch that a rule describes is that of a year of 365 days (1.26), so
		// on the last day of a leap year it has passed. Clocks change by quarters of an hour.
		if end = to.Unix(); end <= at {
			end = floor(at, 900) + 900
		}
	}
	return first, end, int64(seconds)
}

// reach is the first moment, from at on, at which a zone's clocks show the local time
// (seconds since 1970 by the wall clock) or have leapt over it.
func (z Zone) reach(at, local int64) int64 {
	for {
		_, end, offset := z.segment(at)
		if moment := local - offset; moment < end {
			return max(moment, at)
		}
		at = end
	}
}

// next is the moment after at, the start of an interval, at which the next one starts: when
// the clocks next show a full minute or hour, or first show another day, Monday
// or first of a month. So a day may have 23 or 25 hours, an hour that clocks show twice is
// two, and where they leap from within an hour to within the next (Lord Howe) it is
// longer.
func (z Zone) next(at int64, interval Interval) int64 {
	var width int64 = 3600
	switch interval {
	case Minute:
		width = 60
	case Hour:
	default:
		// The clock may have been put back just before: by the middle of the interval, the
		// date that it is of is beyond doubt.
		y, m, d := time.Unix(at+12*3600, 0).In(z.Location).Date()
		switch interval {
		case Day:
			d++
		case Week:
			d += 7
		default:
			m, d = m+1, 1
		}
		return z.reach(at, time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix())
	}
	for {
		_, end, offset := z.segment(at)
		if tick := floor(at+offset, width) + width - offset; tick < end {
			return tick
		}
		at = end
		if _, _, offset := z.segment(at); floor(at+offset, width) == at+offset {
			return at
		}
	}
}

// start is the start of an interval at or before at.
func (z Zone) start(at int64, interval Interval) int64 {
	t := time.Unix(at, 0).In(z.Location)
	y, m, d := t.Date()
	switch interval {
	case Minute, Hour:
		// A day before all is in step; from there they are counted on.
		width := int64(3600)
		if interval == Minute {
			width = 60
		}
		begin, _, offset := z.segment(at)
		if s := floor(at+offset, width) - offset; s >= begin {
			return s
		}
		before := z.start(begin-1, interval)
		for next := z.next(before, interval); next <= at; next = z.next(before, interval) {
			before = next
		}
		return before
	case Week:
		d -= (int(t.Weekday()) + 6) % 7
	case Month:
		d = 1
	}
	s := z.day(y, m, d)
	for next := z.next(s, interval); next <= at; next = z.next(s, interval) {
		s = next
	}
	return s
}

// Day is when a date begins: when the clocks first show it, or have leapt over it. (A
// midnight that clocks leap over is 23:00 of the day before to time.Date.)
func (z Zone) Day(y int, m time.Month, d int) leadevents.Millis {
	return leadevents.Millis(z.day(y, m, d) * 1000)
}

func (z Zone) day(y int, m time.Month, d int) int64 {
	// From a moment at which no clock on earth shows that date yet: they are up to 14 h
	// ahead of UTC.
	local := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()
	return z.reach(local-26*3600, local)
}

// starts are the starts of the intervals that a range touches, the first at or before from;
// false if they are more than most.
func (z Zone) starts(from, to leadevents.Millis, interval Interval, most int) ([]leadevents.Millis, bool) {
	var all []leadevents.Millis
	end := int64(to)
	for at := z.start(floor(int64(from), 1000)/1000, interval); at*1000 < end; at = z.next(at, interval) {
		if len(all) == most {
			return nil, false
		}
		all = append(all, leadevents.Millis(at*1000))
	}
	return all, true
}

// floor is the largest multiple of width that is not above n.
func floor(n, width int64) int64 {
	r := n % width
	if r < 0 {
		r += width
	}
	return n - r
}
