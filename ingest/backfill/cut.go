package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"

	"leadevents"
	"leadevents/internal/rawjson"
)

// limits say where rows are cut into batches and spans. What is cut under other limits goes
// under other keys, so a run keeps those it began with.
type limits struct {
	// Of a batch, which is one call. A body of 9 MiB leaves room below the contract's 10 MB
	// for the row that no longer fits.
	BatchRows  int `json:"batchRows"`
	BatchBytes int `json:"batchBytes"`
	// Of a span, whose rows are sorted before they are cut: four calls of one type, so that each is
	// of a quarter of the time that a file without order is spread over. Bytes are those of the
	// events and of the rows as the file has them: 200,000 of 130 bytes.
	SpanRows  int `json:"spanRows"`
	SpanBytes int `json:"spanBytes"`
	SpanTypes int `json:"spanTypes"`
}

var standardLimits = limits{
	BatchRows: leadevents.MaxEvents, BatchBytes: 9 << 20,
	SpanRows: 4 * leadevents.MaxEvents, SpanBytes: 50 << 20, SpanTypes: 1_000,
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

	open openSpan
}

// next reads the next span; io.EOF behind the last. An error comes behind the rows before it.
func (c *cutter) next(ctx context.Context) (*span, error) {
	if c.err != nil {
		return nil, c.err
	}
	var s *span
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
				ended := ""
				if s.next = at; !errors.Is(err, io.EOF) || c.files[c.at.File].Name == Stdin {
					// A disk may be read on the next time, and standard input may end because what
					// writes it was stopped: what ends here has keys of its own.
					s.next = Position{File: c.at.File, Row: c.at.Row + 1}
					ended = fmt.Sprintf(".%d", s.rows)
				}
				c.close(s, ended)
				return s, nil
			}
			c.at, c.pending = at, true
		}
		if s == nil {
			s = &span{at: c.at, raw: c.spare.rawRows()}
			c.open.reset()
		}
		if !c.add(s) {
			s.next = c.at
			c.close(s, "")
			return s, nil
		}
		c.pending = false
	}
}

// add puts the row that was read into the span; false if it begins the next one.
func (c *cutter) add(s *span) bool {
	row, o := &c.row, &c.open
	if s.rows > 0 && (c.at.File != s.at.File || s.rows >= c.limits.SpanRows || o.bytes+mostOf(row)+len(row.Raw) > c.limits.SpanBytes) {
		return false
	}
	if row.Refused != "" {
		r := newReject(c.files, c.at.File, row.Line, row.Refused, row.Hint, row.Raw)
		s.refused = append(s.refused, r)
		s.rows++
		s.bytes += len(r.text)
		o.bytes += len(r.text)
		c.survey.refused(c.at.File, row)
		return true
	}
	kind, known := o.kinds[row.EventType]
	if !known {
		if len(o.types) >= c.limits.SpanTypes {
			return false
		}
		kind = uint64(len(o.types))
		o.kinds[row.EventType] = kind
		o.types = append(o.types, row.EventType)
	}
	before := len(o.events)
	o.events = appendEvent(o.events, row)
	if row.Hint != "" {
		o.hints[uint32(len(o.rows))] = row.Hint
	}
	o.order = append(o.order, place{kind<<timeBits | uint64(row.At), uint32(len(o.rows))})
	o.rows = append(o.rows, openRow{line: row.Line, end: uint32(len(o.events))})
	s.raw.add(row.Raw)
	s.rows++
	o.bytes += len(o.events) - before + len(row.Raw)
	c.survey.row(row)
	return true
}

// mostOf bounds the bytes of a row's event: a byte may become \u00XX.
func mostOf(row *Row) int {
	const frame = len(`,{"phoneE164":"","occurredAt":"","metadata":}`)
	return len(row.Metadata) + 6*(len(row.Phone)+len(row.OccurredAt)) + frame
}

func appendEvent(b []byte, row *Row) []byte {
	b = append(b, `{"phoneE164":`...)
	b = rawjson.AppendQuoted(b, row.Phone)
	b = append(b, `,"occurredAt":`...)
	b = rawjson.AppendQuoted(b, row.OccurredAt)
	if row.Metadata != nil {
		b = append(b, `,"metadata":`...)
		b = append(b, row.Metadata...)
	}
	return append(b, '}')
}
