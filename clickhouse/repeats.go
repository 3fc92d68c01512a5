package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/query/report"
)

// repeats are what is known of rows that stand twice: of a type's events in a granule of
// time, which parts have them, and the moments of those rows that are one too many.
//
// Parts never change: as long as a granule's rows come from the same parts, and are as many
// in each, they are the same rows, and the surplus is what it was. So a count of events
// is a count of rows (16 ns each), which also tells the parts of each granule, less the
// surplus; and only granules whose parts have changed are looked through (100 ns a row).
// Those are the recent ones, and all of them once after a start, an undo, or a merge of old
// parts.
//
// It is a hint that costs nothing if it is lost: in memory, bounded, of each process.
// Nothing in it tells who a lead is.
type repeats struct {
	seed maphash.Seed

	mu     sync.Mutex
	known  map[granule]surplus
	places int   // moments in known
	epoch  int64 // of the server that it is known of: when it was started
}

// granule is an hour or a day of a type's events.
type granule struct {
	org       leadevents.OrgID
	eventType string
	width     int64
	start     int64
}

// surplus are the moments of rows that are one too many, of rows in these parts.
type surplus struct {
	parts   uint64 // hash of the parts' names and of how many rows each has in the granule
	moments []int64
}

const (
	// maxKnown and maxPlaces bound repeats to some 30 MiB. When they are full it begins anew.
	maxKnown  = 200_000
	maxPlaces = 1_000_000
	// lookAgain is how often rows are counted again that were merged meanwhile.
	lookAgain = 3
	// maxRanges is how many stretches of time are asked for by themselves.
	maxRanges = 50

	hourMillis = 3_600_000
	dayMillis  = 24 * hourMillis
)

func newRepeats() *repeats {
	return &repeats{seed: maphash.MakeSeed(), known: map[granule]surplus{}}
}

// seen is the rows of a granule, as a count of them found them: how many there are in each
// part.
type seen map[string]uint64

func (s seen) rows() (n uint64) {
	for _, rows := range s {
		n += rows
	}
	return n
}

// hash tells the parts of a granule, with how many rows each has, from all others.
func (r *repeats) hash(s seen) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, part := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&h, "%s %d\n", part, s[part])
	}
	return h.Sum64()
}

// find gives what is known of a granule.
func (r *repeats) find(g granule, parts uint64) ([]int64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.known[g]
	return s.moments, ok && s.parts == parts
}

func (r *repeats) keep(g granule, s surplus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= maxKnown || r.places+len(s.moments) > maxPlaces {
		clear(r.known)
		r.places = 0
	}
	r.places += len(s.moments) - len(r.known[g].moments)
	r.known[g] = s
}

// of forgets what is known of another server: one that was restored from a snapshot may
// give the names of parts again. Starts are told in seconds, which the clock may round.
func (r *repeats) of(started int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !sameStart(started, r.epoch) {
		clear(r.known)
		r.places, r.epoch = 0, started
	}
}

// countIntervals counts the events of one type in each interval; false if it is better
// done with FINAL.
func (db *DB) countIntervals(ctx context.Context, org leadevents.OrgID, t report.Timeseries, eventType string, starts []leadevents.Millis) (counts []uint64, ok bool, err error) {
	width := int64(hourMillis)
	if t.To-t.From > 62*dayMillis {
		width = dayMillis
	}
	for range lookAgain {
		counts = make([]uint64, len(starts))
		granules, err := db.countRows(ctx, org, t, eventType, starts, width, counts)
		if err != nil {
			return nil, false, err
		}
		var unknown []granule
		var moments []int64
		for g, s := range granules {
			// Of a granule that the range cuts not all rows are known: it is not kept.
			whole := g.start >= int64(t.From) && g.start+width <= int64(t.To)
			if found, known := db.repeats.find(g, db.repeats.hash(s)); known && whole {
				moments = append(moments, found...)
			} else {
				unknown = append(unknown, g)
			}
		}
		found, ok, err := db.findRepeats(ctx, org, t, eventType, width, unknown, granules)
		if err != nil {
			return nil, false, err
		}
		if found == nil {
			continue // merged meanwhile
		}
		if !ok {
			return nil, false, nil
		}
		for _, at := range append(moments, found...) {
			i, exact := slices.BinarySearch(starts, leadevents.Millis(at))
			if !exact {
				i--
			}
			counts[i]--
		}
		return counts, true, nil
	}
	return nil, false, nil
}

// countRows counts rows, and tells the granules that they are in.
func (db *DB) countRows(ctx context.Context, org leadevents.OrgID, t report.Timeseries, eventType string, starts []leadevents.Millis, width int64, counts []uint64) (map[granule]seen, error) {
	q := db.newReport(org, t.Range)
	q.parameters["type"] = parameterText(eventType)
	q.parameters["width"] = strconv.FormatInt(width, 10)
	// Hours within 62 days, and days within the 130 years that events may lie in, fit 32 bits
	// so: 2^32 times 128 ms are 17 years, times 1,024 ms they are 139.
	shift := bits.TrailingZeros64(uint64(width))
	q.parameters["base"] = strconv.FormatInt(int64(t.From)-int64(t.From)%width, 10)
	q.parameters["shift"] = strconv.Itoa(shift)
	q.parameters["unit"] = strconv.FormatInt(width>>shift, 10)
	// Intervals of hours that are within granules, or hold whole ones, need no second group.
	start := q.start(occurredAt, starts)
	if t.Interval != report.Minute && !slices.ContainsFunc(starts, func(s leadevents.Millis) bool { return int64(s)%width != 0 }) {
		start = "0::Int64"
	}
	granules := map[granule]seen{}
	err := q.rows(ctx, place(sqlText("report_rows"), "start", start), func(rows driver.Rows) error {
		var at, start, started int64
		var part string
		var n uint64
		if err := rows.Scan(&at, &start, &part, &n, &started); err != nil {
			return err
		}
		db.repeats.of(started)
		if start == 0 {
			start = at
		}
		i, exact := slices.BinarySearch(starts, leadevents.Millis(start))
		if !exact {
			i--
		}
		counts[max(i, 0)] += n
		g := granule{org, eventType, width, at}
		if granules[g] == nil {
			granules[g] = seen{}
		}
		granules[g][part] += n
		return nil
	})
	return granules, err
}

// findRepeats looks through the rows of granules of which nothing is known. found is nil if
// they are not those that were counted; ok is false where there are too many.
func (db *DB) findRepeats(ctx context.Context, org leadevents.OrgID, t report.Timeseries, eventType string, width int64, unknown []granule, granules map[granule]seen) (found []int64, ok bool, err error) {
	found = []int64{}
	if len(unknown) == 0 {
		return found, true, nil
	}
	slices.SortFunc(unknown, func(a, b granule) int { return cmp.Compare(a.start, b.start) })
	q := db.newReport(org, t.Range)
	q.parameters["type"] = parameterText(eventType)
	q.parameters["width"] = strconv.FormatInt(width, 10)
	parts, wanted := seen{}, map[granule]bool{}
	for _, g := range unknown {
		wanted[g] = true
		maps.Copy(parts, granules[g])
	}
	q.parameters["parts"] = parameterTexts(slices.Sorted(maps.Keys(parts)))
	sql := place(sqlText("report_repeats"), "ranges", q.ranges(unknown, width))
	got := map[granule]bool{}
	ok = true
	err = q.rows(ctx, sql, func(rows driver.Rows) error {
		var at int64
		var n, surplusRows uint64
		var moments []int64
		if err := rows.Scan(&at, &n, &surplusRows, &moments); err != nil {
			return err
		}
		g := granule{org, eventType, width, at}
		if !wanted[g] {
			return nil // between two ranges
		}
		if granules[g].rows() != n {
			found = nil
			return nil
		}
		got[g] = true
		if surplusRows > uint64(len(moments)) {
			ok = false
			return nil
		}
		if found != nil {
			found = append(found, moments...)
		}
		if at >= int64(t.From) && at+width <= int64(t.To) {
			db.repeats.keep(g, surplus{db.repeats.hash(granules[g]), moments})
		}
		return nil
	})
	if len(got) != len(unknown) {
		found = nil
	}
	return found, ok, err
}

// ranges is true for the events of granules, or of few more: neighbours are one stretch.
func (q *reportQuery) ranges(granules []granule, width int64) string {
	var parts []string
	for i := 0; i < len(granules); {
		j := i + 1
		for j < len(granules) && granules[j].start == granules[j-1].start+width {
			j++
		}
		parts = append(parts, fmt.Sprintf("occurred_at >= %s AND occurred_at < %s",
			q.moment(leadevents.Millis(granules[i].start)), q.moment(leadevents.Millis(granules[j-1].start+width))))
		i = j
	}
	if len(parts) > maxRanges {
		return fmt.Sprintf("occurred_at >= %s AND occurred_at < %s",
			q.moment(leadevents.Millis(granules[0].start)), q.moment(leadevents.Millis(granules[len(granules)-1].start+width)))
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}
