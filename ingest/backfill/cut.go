package backfill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"leadevents"
	"leadevents/internal/rawjson"
)

// limits say where rows are cut into batches and spans. What is cut under other limits goes
// under other keys, so a run keeps those it began with.
type limits struct {
	// Of a batch, which is one call. A body of 9 MiB leaves room below the contract's 10 MB
	// for the row that no longer fits; raw bounds what is kept of the rows as the file
	// has them, for those that are rejected.
	BatchRows  int `json:"batchRows"`
	BatchBytes int `json:"batchBytes"`
	// Of a span, when it holds several event types: a call has one type, so as many batches
	// are open as there are types. 12 MiB of bodies and as much raw are 90,000 rows of 130
	// bytes: with ten types still calls of 9,000.
	SpanRows  int `json:"spanRows"`
	SpanBytes int `json:"spanBytes"`
	SpanTypes int `json:"spanTypes"`
}

var standardLimits = limits{
	BatchRows: leadevents.MaxEvents, BatchBytes: 9 << 20,
	SpanRows: 100_000, SpanBytes: 24 << 20, SpanTypes: 1_000,
}

// batch is the rows of one type in a span: one call.
type batch struct {
	key       string
	eventType string
	body      []byte
	packed    []byte // the body as it is sent, if it is compressed
	raw       []byte
	rows      []rowRef
	hints     map[int]string // by the row's index; rare
}

// rowRef is where a row of a batch stands: its event ends at body[event], what the
// file has of it at raw[raw]. Each begins where the one before ends.
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

// rawOf is row i as the file has it.
func (b *batch) rawOf(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = b.rows[i-1].raw
	}
	return b.raw[start:b.rows[i].raw]
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

// span is a stretch of one file's rows that is answered as a whole. No batch reaches from one
// span into another, so a run can go on from the beginning of any span and cuts there what it
// cut the first time, under the same keys.
type span struct {
	at, next Position
	batches  []*batch
	refused  []reject // rows that are no events, in their order
	rows     int
	bytes    int // that it holds in memory
}

// cutter cuts rows into spans. Where it cuts depends on the rows, the run and the limits
// alone, never on the clock or on answers.
type cutter struct {
	source Source
	run    string
	org    leadevents.OrgID
	limits limits
	files  []File // named in rejects when there are several
	survey *survey

	spare   *spares
	row     Row
	at      Position
	pending bool // row is read, and belongs to the next span
	err     error
}

// next reads the next span; io.EOF behind the last. An error comes behind the rows before it.
func (c *cutter) next(ctx context.Context) (*span, error) {
	if c.err != nil {
		return nil, c.err
	}
	var s *span
	open := map[string]*batch{}
	for n := 0; ; n++ {
		if !c.pending {
			if n%1024 == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			at, err := c.source.Next(&c.row)
			if err != nil {
				if c.err = err; s == nil || ctx.Err() != nil {
					return nil, err
				}
				if s.next = at; !errors.Is(err, io.EOF) || c.files[c.at.File].Name == Stdin {
					// A disk may be read on the next time, and standard input may end because what
					// writes it was stopped: what ends here has keys of its own.
					s.next = Position{File: c.at.File, Row: c.at.Row + 1}
					for _, b := range s.batches {
						b.key += fmt.Sprintf(".%d", s.rows)
					}
				}
				return c.close(s), nil
			}
			c.at, c.pending = at, true
		}
		if s == nil {
			s = &span{at: c.at}
		}
		if !c.add(s, open) {
			s.next = c.at
			return c.close(s), nil
		}
		c.pending = false
	}
}

// add puts the row that was read into the span; false if it begins the next one.
func (c *cutter) add(s *span, open map[string]*batch) bool {
	row := &c.row
	if s.rows > 0 && (c.at.File != s.at.File || s.rows >= c.limits.SpanRows || s.bytes+len(row.Metadata)+len(row.Raw) > c.limits.SpanBytes) {
		return false
	}
	if row.Refused != "" {
		r := newReject(c.files, c.at.File, row.Line, row.Refused, row.Hint, row.Raw)
		s.refused = append(s.refused, r)
		s.rows++
		s.bytes += len(r.text)
		c.survey.refused(c.at.File, row)
		return true
	}
	b := open[row.EventType]
	if b != nil && !c.fits(b, row) {
		if len(s.batches) == 1 {
			return false // of one type: the span is the batch
		}
		b = nil
	}
	if b == nil {
		if len(open) >= c.limits.SpanTypes && open[row.EventType] == nil {
			return false
		}
		b = c.spare.batch()
		b.eventType = row.EventType
		b.key = fmt.Sprintf("backfill-%s-%d.%d.%d", c.run, s.at.File, s.at.Row, len(s.batches))
		b.body = append(b.body, `{"organizationId":`...)
		b.body = strconv.AppendUint(b.body, uint64(c.org), 10)
		b.body = append(b.body, `,"eventType":`...)
		b.body = rawjson.AppendQuoted(b.body, []byte(row.EventType))
		b.body = append(append(b.body, ','), eventsOpen...)
		open[b.eventType] = b
		s.batches = append(s.batches, b)
	}
	before := len(b.body) + len(b.raw)
	b.add(row)
	s.rows++
	s.bytes += len(b.body) + len(b.raw) - before
	c.survey.row(row)
	return true
}

// fits says whether a batch has room for one row more.
func (c *cutter) fits(b *batch, row *Row) bool {
	const frame = len(`,{"phoneE164":"","occurredAt":"","metadata":}`) + len(eventsClose)
	most := len(row.Metadata) + 6*(len(row.Phone)+len(row.OccurredAt)) + frame // a byte may become \u00XX
	return len(b.rows) < c.limits.BatchRows && len(b.body)+most <= c.limits.BatchBytes && len(b.raw)+len(row.Raw) <= c.limits.BatchBytes
}

// add writes a row's event.
func (b *batch) add(row *Row) {
	if len(b.rows) > 0 {
		b.body = append(b.body, ',')
	}
	b.body = append(b.body, `{"phoneE164":`...)
	b.body = rawjson.AppendQuoted(b.body, row.Phone)
	b.body = append(b.body, `,"occurredAt":`...)
	b.body = rawjson.AppendQuoted(b.body, row.OccurredAt)
	if row.Metadata != nil {
		b.body = append(b.body, `,"metadata":`...)
		b.body = append(b.body, row.Metadata...)
	}
	b.body = append(b.body, '}')
	b.raw = append(b.raw, row.Raw...)
	if row.Hint != "" {
		if b.hints == nil {
			b.hints = map[int]string{}
		}
		b.hints[len(b.rows)] = row.Hint
	}
	b.rows = append(b.rows, rowRef{line: row.Line, event: uint32(len(b.body)), raw: uint32(len(b.raw))})
}

func (c *cutter) close(s *span) *span {
	for _, b := range s.batches {
		b.body = append(b.body, eventsClose...)
	}
	return s
}
