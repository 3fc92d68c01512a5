package ingest

import (
	"leadevents"
	"leadevents/internal/rawjson"
)

// maxNesting bounds the nesting of what the contract does not speak of: the
// body and the values of its top-level fields. (Inside an event nothing is
// refused for its depth here: a row's depth is that row's affair alone, and
// costs a bit a level.) It is encoding/json's bound too.
const maxNesting = 10_000

// rowSpans is what the scan found of one element of events: where its fields stand
// (the last appearance of each), 32 bytes.
type rowSpans struct {
	phone, occurredAt, metadata rawjson.Span
	space                       uint32 // white space between the tokens of metadata, in bytes
	tooDeep                     bool   // metadata is nested deeper than MaxMetadataDepth
	isObject                    bool
}

// scanner reads a body once: it checks every byte against RFC 8259 and notes
// where the fields are. It allocates nothing per row and does not recurse.
type scanner struct {
	rawjson.Scanner

	isObject                        bool
	organization, eventType, events rawjson.Span
	received                        int        // elements of events, also beyond leadevents.MaxEvents
	rows                            []rowSpans // the first leadevents.MaxEvents of them
	names                           nameSet
}

// reset forgets the body, and buffers of unusual size.
func (s *scanner) reset() {
	names := s.names
	names.reset()
	s.Scanner.Reset(keepBytes)
	*s = scanner{Scanner: s.Scanner, rows: keep(s.rows, keepRows), names: names}
}

// run scans the body, and tells an InvalidJSON error if it is not JSON.
func (s *scanner) run(body []byte) error {
	s.names.reset()
	s.Begin(body)
	*s = scanner{Scanner: s.Scanner, rows: s.rows[:0], names: s.names}
	i := s.Blank(0)
	switch {
	case i < len(body) && body[i] == '{':
		s.isObject = true
		i = s.call(i)
	case len(body) >= 3 && body[0] == 0xEF && body[1] == 0xBB && body[2] == 0xBF:
		i = s.Fail(0, "a byte order mark must not stand before it")
	default:
		i = s.Value(i, maxNesting)
	}
	if i >= 0 {
		if i = s.Blank(i); i < len(body) {
			s.Fail(i, "nothing but white space may follow the value")
		}
	}
	if s.Failure != "" {
		return leadevents.Errorf(leadevents.InvalidJSON, "the body is not valid JSON: %s, at byte %d", s.Failure, s.FailedAt)
	}
	return nil
}
