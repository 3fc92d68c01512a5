package backfill

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"leadevents/internal/rawjson"
)

// span is a stretch of one file's rows that is answered as a whole. No batch reaches from one
// span into another, so a run can go on from the beginning of any span and cuts there what it
// cut the first time, under the same keys.
//
// Within a span rows are sorted by type and time before they are cut into batches. A call of
// 50,000 rows of ten years in no order touches every month: ten partitions, as many parts to merge, and as many
// keys of the index to look behind. Of sorted 200,000 it touches a quarter of them. Rows of one type that
// lie in several calls are no better: a call costs some 15 ms whatever is in it.
type span struct {
	at, next Position
	batches  []*batch
	refused  []reject // rows that are no events, in their order
	raw      *rawRows // its rows as the file has them, without the refused ones
	rows     int
	bytes    int // that it holds in memory, without its batches
}

// batch is rows of one type in a span, in the order of their times: one call.
type batch struct {
	key       string
	eventType string
	body      []byte
	packed    []byte // the body as it is sent, if it is compressed
	rows      []rowRef
	hints     map[int]string // by the row's index; rare
}

// rowRef is where a row of a batch stands: its event ends at body[event], and it is row raw of
// the span's raw ones. An event begins where the one before ends.
type rowRef struct {
	line       uint64
	event, raw uint32
}

const (
	eventsOpen  = `"events":[`
	eventsClose = `]}`
)

// event is the JSON of row i.
func (b *batch) event(i int) []byte {
	start := bytes.Index(b.body, []byte(eventsOpen)) + len(eventsOpen)
	if i > 0 {
		start = int(b.rows[i-1].event) + 1 // the comma
	}
	return b.body[start:b.rows[i].event]
}

// part is a body with the rows from..to alone.
func (b *batch) part(from, to int) []byte {
	head := bytes.Index(b.body, []byte(eventsOpen)) + len(eventsOpen)
	start := head
	if from > 0 {
		start = int(b.rows[from-1].event) + 1
	}
	body := make([]byte, 0, head+int(b.rows[to-1].event)-start+len(eventsClose))
	body = append(body, b.body[:head]...)
	body = append(body, b.body[start:b.rows[to-1].event]...)
	return append(body, eventsClose...)
}

// openSpan is the rows of the span that is being cut. Its memory is used again for the next.
type openSpan struct {
	kinds  map[string]uint64 // types by the order in which they came
	types  []string
	events []byte // one behind the other
	rows   []openRow
	order  []place
	hints  map[uint32]string
	bytes  int // of the events, and of the rows as the file has them
}

type openRow struct {
	line uint64
	end  uint32 // of its event
}

// place is a row's place among the sorted ones: type and time in one number.
type place struct {
	key uint64
	row uint32
}

// timeBits hold any time of an event (2^42 ms is the year 2109).
const timeBits = 42

func (o *openSpan) reset() {
	*o = openSpan{kinds: map[string]uint64{}, hints: map[uint32]string{}, events: o.events[:0], rows: o.rows[:0], order: o.order[:0]}
}

// event is the JSON of a row.
func (o *openSpan) event(row uint32) []byte {
	start := uint32(0)
	if row > 0 {
		start = o.rows[row-1].end
	}
	return o.events[start:o.rows[row].end]
}

// close cuts a span's rows into batches: of each type as few as hold its rows, all about equally
// full. ended stands behind their keys.
func (c *cutter) close(s *span, ended string) {
	o := &c.open
	s.raw.close()
	s.bytes += s.raw.size()
	// Rows of one key keep their order: the first is the one that is stored.
	slices.SortFunc(o.order, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.row, b.row))
	})
	for from := 0; from < len(o.order); {
		kind := o.order[from].key >> timeBits
		to := from
		for to < len(o.order) && o.order[to].key>>timeBits == kind {
			to++
		}
		calls := (to - from + c.limits.BatchRows - 1) / c.limits.BatchRows
		most := (to - from + calls - 1) / calls
		for from < to {
			b := c.batch(s, o.types[kind], ended)
			b.grow(o, o.order[from:min(to, from+most)], c.limits.BatchBytes)
			for from < to && len(b.rows) < most && (len(b.rows) == 0 || c.fits(b, o.event(o.order[from].row))) {
				b.add(o, o.order[from].row)
				from++
			}
			b.body = append(b.body, eventsClose...)
		}
	}
}

// batch begins a span's next batch.
func (c *cutter) batch(s *span, eventType, ended string) *batch {
	b := c.spare.batch()
	b.eventType = eventType
	b.key = fmt.Sprintf("backfill-%s-%d.%d.%d%s", c.run, s.at.File, s.at.Row, len(s.batches), ended)
	b.body = append(b.body, `{"organizationId":`...)
	b.body = strconv.AppendUint(b.body, uint64(c.org), 10)
	b.body = append(b.body, `,"eventType":`...)
	b.body = rawjson.AppendQuoted(b.body, []byte(eventType))
	b.body = append(append(b.body, ','), eventsOpen...)
	s.batches = append(s.batches, b)
	return b
}

// fits says whether a batch has room for one event more.
func (c *cutter) fits(b *batch, event []byte) bool {
	return len(b.body)+len(`,`)+len(event)+len(eventsClose) <= c.limits.BatchBytes
}

// grow makes room for what is about to be added, once: a body that doubles its memory until it
// is large enough leaves as much garbage.
func (b *batch) grow(o *openSpan, rows []place, most int) {
	n := len(b.body) + len(eventsClose)
	for _, r := range rows {
		n += len(o.event(r.row)) + 1
	}
	b.body = slices.Grow(b.body, min(n, most)-len(b.body))
	b.rows = slices.Grow(b.rows, len(rows))
}

func (b *batch) add(o *openSpan, row uint32) {
	if len(b.rows) > 0 {
		b.body = append(b.body, ',')
	}
	b.body = append(b.body, o.event(row)...)
	if hint, ok := o.hints[row]; ok {
		if b.hints == nil {
			b.hints = map[int]string{}
		}
		b.hints[len(b.rows)] = hint
	}
	b.rows = append(b.rows, rowRef{line: o.rows[row].line, event: uint32(len(b.body)), raw: row})
}
