package backfill

import (
	"bytes"
	"math"
	"slices"

	"leadevents"
	"leadevents/internal/rawjson"
)

const refusedJSON = "not JSON: "

// Names of the fields of a line of a file of rejects.
const (
	rejectLine   = "line"
	rejectReason = "reason"
	rejectRow    = "row"
)

// ndjsonReader reads an object a line.
type ndjsonReader struct {
	*shaper
	window
	rows    uint64
	columns columns
	wrapped bool // lines are those of a file of rejects

	scan  rawjson.Scanner
	texts [3][]byte // unescaped: phone, time, type
	inner []byte    // the unescaped row of a reject
	// The names as they mostly stand in a line, quotes and all: so they are
	// known without being looked at byte by byte.
	phoneKey, timeKey, typeKey, metaKey []byte
}

// found is where the fields of a row are; empty: not there.
type found struct {
	phone, occurredAt, eventType, metadata []byte
	space                                  int // white space between the tokens of metadata
}

func newNDJSON(name string, s *shaper, w window) (*ndjsonReader, error) {
	r := &ndjsonReader{shaper: s, window: w}
	ahead := r.beginning()
	if text := bytes.TrimLeft(ahead.text(), " \t\r\n"); len(text) > 0 && text[0] == '[' {
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "%s is a JSON array; one object a line was expected: jq -c '.[]' makes them", name)
	}
	names, objects := r.look(&ahead)
	if len(names) == 0 {
		// Nothing to guess from: lines that are no objects are refused one by one.
		names = []string{"phoneE164", "occurredAt", "eventType", metadataName}
		if m := s.mapping; m.Phone != "" || m.OccurredAt != "" || m.EventType != "" {
			names = append(names, m.Phone, m.OccurredAt, m.EventType)
		}
	}
	var err error
	r.columns, err = tellColumns(name, names, true, s.mapping, func(column string) bool { return objects[column] })
	if err != nil {
		return nil, err
	}
	quote := func(name string) []byte {
		if name == "" {
			return nil
		}
		return rawjson.AppendQuoted(nil, []byte(name))
	}
	c := &r.columns
	r.phoneKey, r.timeKey, r.typeKey, r.metaKey = quote(c.phone), quote(c.occurredAt), quote(c.eventType), quote(c.metadata)
	return r, nil
}

// look is the names of the fields of the first 100 rows, in their order, and
// which of them are objects, or null, wherever they are there.
func (r *ndjsonReader) look(ahead *window) (names []string, objects map[string]bool) {
	objects = map[string]bool{}
	for lines := 0; lines < 100; lines++ {
		line, long, _, err := ahead.line()
		if err != nil {
			break
		}
		if long {
			continue
		}
		line = trimSpace(line)
		if inner, ok := r.unwrap(line); ok {
			r.wrapped = true
			line = inner
		}
		r.fields(line, func(name, value []byte) {
			n := string(rawjson.AppendUnescaped(nil, name, math.MaxInt))
			isObject := len(value) > 0 && (value[0] == '{' || value[0] == 'n')
			if !slices.Contains(names, n) {
				if len(names) == 10_000 {
					return
				}
				names = append(names, n)
				objects[n] = isObject
				return
			}
			objects[n] = objects[n] && isObject
		})
	}
	return names, objects
}

// fields calls f with each field of an object, if the line is one.
func (r *ndjsonReader) fields(line []byte, f func(name, value []byte)) bool {
	s := &r.scan
	s.Begin(line)
	if len(line) == 0 || line[0] != '{' {
		return false
	}
	type field struct{ name, value []byte }
	var all []field
	i := s.Blank(1)
	last := i < len(line) && line[i] == '}'
	for !last {
		name, value := s.Field(i)
		if value < 0 {
			return false
		}
		end := s.Value(value, maxDepth)
		if end < 0 {
			return false
		}
		all = append(all, field{name.Of(line), line[value:end]})
		if i, last = s.Another(end, true); i < 0 {
			return false
		}
	}
	for _, field := range all {
		f(field.name, field.value)
	}
	return true
}

// unwrap is the row of a line of a file of rejects, if the line is one.
func (r *ndjsonReader) unwrap(line []byte) ([]byte, bool) {
	if !bytes.Contains(line, []byte(`"`+rejectReason+`"`)) {
		return nil, false
	}
	var row []byte
	known := 0
	r.fields(line, func(name, value []byte) {
		switch string(name) {
		case rejectRow:
			row = value
			known++
		case rejectLine, rejectReason:
			known++
		}
	})
	if known != 3 || len(row) == 0 {
		return nil, false
	}
	switch row[0] {
	case '{':
		return row, true
	case '"': // a text that could not be read, and may have been mended
		r.inner = rawjson.AppendUnescaped(r.inner[:0], row[1:len(row)-1], math.MaxInt)
		return trimSpace(r.inner), true
	}
	return nil, false
}

func (r *ndjsonReader) next(row *Row) error {
	for {
		row.Line = r.lines + 1
		line, long, cut, err := r.line()
		if err != nil {
			return err
		}
		if long {
			r.rows++
			r.brokenText(row, line, refusedLong, "")
			return nil
		}
		if line = trimSpace(line); len(line) == 0 {
			continue
		}
		r.rows++
		if r.wrapped {
			if inner, ok := r.unwrap(line); ok {
				line = inner
			}
		}
		r.shape(row, line, cut)
		return nil
	}
}

// skip does what next does, but look into lines.
func (r *ndjsonReader) skip(rows uint64) error {
	for r.rows < rows {
		line, long, _, err := r.line()
		if err != nil {
			return err
		}
		if long || len(trimSpace(line)) > 0 {
			r.rows++
		}
	}
	return nil
}

// trimSpace removes JSON's white space around a line.
func trimSpace(line []byte) []byte {
	for len(line) > 0 && rawjson.IsSpace(line[0]) {
		line = line[1:]
	}
	for len(line) > 0 && rawjson.IsSpace(line[len(line)-1]) {
		line = line[:len(line)-1]
	}
	return line
}
