package clickhouse

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
)

// part is an active part of a table: what is left of the blocks min to max of its partition.
type part struct {
	name     string
	min, max int64
	mutation int64 // the last one that it went through; 0 is none
	hash     uint64
	rows     uint64
}

// partition is one of a table.
type partition struct{ table, id string }

// partsNow are the parts of the tables of events and states at one moment, by their
// blocks.
type partsNow struct {
	epoch int64             // when the server was started
	uuids map[string]string // of the tables
	parts map[partition][]part
}

// partsNow reads them, 5 ms.
func (db *DB) partsNow(ctx context.Context) (now partsNow, err error) {
	now.uuids, now.parts = map[string]string{}, map[partition][]part{}
	err = db.stream(ctx, "event_parts", nil, func(rows driver.Rows) error {
		var at partition
		var p part
		var uuid string
		if err := rows.Scan(&now.epoch, &uuid, &at.table, &at.id, &p.name, &p.min, &p.max, &p.mutation, &p.hash, &p.rows); err != nil {
			return err
		}
		now.uuids[at.table] = uuid
		now.parts[at] = append(now.parts[at], p)
		return nil
	})
	return now, err
}

// same says that both are of the same tables of the same server: one that was restored
// from a snapshot may give blocks again.
func (p partsNow) same(q partsNow) bool {
	return maps.Equal(p.uuids, q.uuids) && sameStart(p.epoch, q.epoch)
}

// sameStart says that two readings of when a server was started, in seconds, may be of one
// start: the clock may round them.
func sameStart(a, b int64) bool { return max(a-b, b-a) <= 2 }

// have says that parts are still there.
func (p partsNow) have(at partition, parts []part) bool {
	there := map[string]bool{}
	for _, one := range p.parts[at] {
		there[one.name] = true
	}
	return !slices.ContainsFunc(parts, func(one part) bool { return !there[one.name] })
}

// ladder is what was counted of an organization's keys in a partition. Each rung stands for
// parts: how many keys they have that no rung below has. So all of the keys are the sum,
// whatever stands in several parts; large old parts are far below; and what has changed
// takes only the rungs with it that it touches, and those above.
//
//	rung 2  | 8 parts, 40,000 rows: 39,990 keys that the parts below do not have |  <- new parts become a rung,
//	rung 1  | 3 parts, 2 million rows: 1,998,000 more                            |     counted by looking their keys up below
//	rung 0  | 9 parts, 98 million rows: 97,900,000 keys                          |
//
// A merge keeps the keys of its parts: a part that is made of parts of the ladder is one of it,
// by its blocks. But of one that is made of these and of new ones nobody can say which rows
// are new, and the lowest rung that it has rows of falls with all above. So parts that are merged
// soon, small ones, should not be low.
type ladder struct {
	top   int64 // no block up to it is new
	rungs []rung
}

type rung struct {
	parts []part
	types map[string]leadevents.TypeSummary // Events or Leads: keys of no rung below
}

func (r rung) rows() (n uint64) {
	for _, p := range r.parts {
		n += p.rows
	}
	return n
}

// stand finds the rungs that still stand, by the parts that they consist of now, and the
// parts that are in none of them.
//
// Blocks get their numbers in the order in which they are committed (those of a
// MergeTree that is not replicated), so a part up to a block that was looked at has
// nothing new. A mutation gets a number between those of blocks, and changes earlier
// ones only. Ours remove rows by mutations; a single part that somebody drops by hand is
// not missed if its neighbours are merged over the gap before the next look.
func (l ladder) stand(active []part) (standing ladder, rest []part) {
	type span struct{ low, high int } // of the rungs whose rows a part has
	const above = 1 << 30             // new rows are of no rung
	spans := make([]span, len(active))
	for i, p := range active {
		spans[i] = span{above, -1}
		if p.max > l.top {
			spans[i].high = above
		}
	}
	n := len(l.rungs)
	for k, r := range l.rungs {
		for _, known := range r.parts {
			i, _ := slices.BinarySearchFunc(active, known.min, func(p part, block int64) int { return cmp.Compare(p.max, block) })
			if i < len(active) {
				spans[i].low, spans[i].high = min(spans[i].low, k), max(spans[i].high, k)
			}
			if i == len(active) || !active[i].holds(known) {
				n = min(n, k) // changed, or gone
			}
		}
	}
	for fell := true; fell; {
		fell = false
		for _, s := range spans {
			if s.low < n && s.high >= n {
				n, fell = s.low, true
			}
		}
	}
	// Rungs that a merge has put together are one from now on.
	joined := make([]bool, n)
	for _, s := range spans {
		for k := s.low; k < n && k < s.high; k++ {
			joined[k] = true
		}
	}
	standing.top = l.top
	place := make([]int, n)
	for k := range n {
		if k == 0 || !joined[k-1] {
			standing.rungs = append(standing.rungs, rung{})
		}
		place[k] = len(standing.rungs) - 1
		r := &standing.rungs[place[k]]
		r.types = sumOf(r.types, l.rungs[k].types)
	}
	for i, p := range active {
		standing.top = max(standing.top, p.max)
		if s := spans[i]; s.low < n {
			r := &standing.rungs[place[s.low]]
			r.parts = append(r.parts, p)
		} else {
			rest = append(rest, p)
		}
	}
	return standing, rest
}

// holds says that a part has the rows that another had, unchanged.
func (p part) holds(known part) bool {
	if p.min == known.min && p.max == known.max && p.hash == known.hash {
		return true // a mutation that found nothing in it gives it a new name
	}
	if p.rows == 0 && known.rows > 0 {
		return false // dropped: an empty one is there for a while
	}
	return p.min <= known.min && known.max <= p.max && (p.mutation == known.mutation || p.mutation < known.min)
}

// parts are those of all rungs.
func (l ladder) parts() (all []part) {
	for _, r := range l.rungs {
		all = append(all, r.parts...)
	}
	return all
}

// add puts a rung on top. As long as it is not much smaller than the one below, they become one:
// so there are few.
func (l *ladder) add(r rung) {
	l.rungs = append(l.rungs, r)
	for n := len(l.rungs); n > 1 && l.rungs[n-1].rows() >= l.rungs[n-2].rows()/rungRatio; n-- {
		l.join()
	}
}

// rungRatio is how many times as many rows a rung has as the one above it, at least.
const rungRatio = 4

// join makes one rung of the two highest.
func (l *ladder) join() {
	n := len(l.rungs) - 2
	low, high := l.rungs[n], l.rungs[n+1]
	l.rungs = append(l.rungs[:n], rung{slices.Concat(low.parts, high.parts), sumOf(low.types, high.types)})
}

// known is how many types are remembered.
func (l ladder) known() (n int) {
	for _, r := range l.rungs {
		n += len(r.types)
	}
	return n
}

// sum adds up the rungs.
func (l ladder) sum() map[string]leadevents.TypeSummary {
	var all []map[string]leadevents.TypeSummary
	for _, r := range l.rungs {
		all = append(all, r.types)
	}
	return sumOf(all...)
}

func sumOf(all ...map[string]leadevents.TypeSummary) map[string]leadevents.TypeSummary {
	sums := map[string]leadevents.TypeSummary{}
	for _, types := range all {
		for name, t := range types {
			sum, found := sums[name]
			if !found {
				sums[name] = t
				continue
			}
			sum.Events += t.Events
			sum.Leads += t.Leads
			sum.FirstAt, sum.LastAt = min(sum.FirstAt, t.FirstAt), max(sum.LastAt, t.LastAt)
			sums[name] = sum
		}
	}
	return sums
}

// names of parts, as a parameter.
func names(parts []part) string {
	var all []string
	for _, p := range parts {
		all = append(all, p.name)
	}
	return parameterTexts(all)
}

// bySize parts the parts that have most of the rows from small ones that have few rows
// together.
func bySize(parts []part, few uint64) (large, small []part) {
	large = slices.SortedFunc(slices.Values(parts), func(a, b part) int { return cmp.Compare(b.rows, a.rows) })
	rows := uint64(0)
	for len(large) > 1 {
		last := large[len(large)-1]
		if rows += last.rows; rows > few {
			break
		}
		large, small = large[:len(large)-1], append(small, last)
	}
	return large, small
}
