package backfill

import (
	"bytes"
	"math"

	"leadevents"
	"leadevents/internal/rawjson"
)

// shape makes an event of a line. The line is checked as a whole first: a line that is
// broken behind its fields is broken.
func (r *ndjsonReader) shape(row *Row, line []byte, cut bool) {
	var f found
	if !r.cut(line, &f) {
		hint := ""
		if cut {
			hint = hintCut
		}
		r.brokenText(row, line, refusedJSON+r.scan.Failure, hint)
		return
	}
	row.Raw = line
	if line[0] != '{' {
		refuse(row, leadevents.ReasonInvalidEvent, "")
		return
	}
	eventType, ok := r.text(2, f.eventType)
	r.event(row, r.phoneText(f.phone), r.timeText(f.occurredAt), eventType)
	switch {
	case row.Refused != "":
	case !ok:
		r.refuse(row, refusedType)
	case len(r.metaKey) == 0:
		if len(r.meta) > 1 && !r.columns.none {
			r.meta = append(r.meta, '}')
			row.Metadata = r.meta
		}
	case len(f.metadata) == 0 || f.metadata[0] == 'n':
	case f.metadata[0] != '{':
		row.Hint = hintMetadata
		r.refuse(row, leadevents.ReasonInvalidMetadata)
	case f.space > 0:
		r.meta = rawjson.AppendCompact(r.meta[:0], f.metadata)
		row.Metadata = r.meta
	default:
		row.Metadata = f.metadata
	}
}

// cut finds the fields of a line, and checks all of it. Fields that are not known
// are metadata, unless a column is.
func (r *ndjsonReader) cut(line []byte, f *found) bool {
	s := &r.scan
	s.Begin(line)
	r.meta = append(r.meta[:0], '{')
	if line[0] != '{' {
		return r.ends(s.Value(0, maxDepth))
	}
	i := s.Blank(1)
	if i < len(line) && line[i] == '}' {
		return r.ends(i + 1)
	}
	for {
		into, start := f.into(r, line[i:])
		name := i
		nameEnd, value := i+start, 0
		if start > 0 {
			value = s.Colon(nameEnd)
		} else {
			var span rawjson.Span
			span, value = s.Field(i)
			nameEnd = int(span.End) + 1
			if value >= 0 && bytes.IndexByte(span.Of(line), '\\') >= 0 {
				into = f.escaped(r, span.Of(line))
			}
		}
		if value < 0 {
			return false
		}
		s.Space = 0
		end := s.Value(value, maxDepth)
		if end < 0 {
			return false
		}
		switch {
		case into != nil:
			*into = line[value:end]
			if into == &f.metadata {
				f.space = s.Space
			}
		case len(r.metaKey) > 0 || r.columns.none:
		case r.columns.chosen == nil || r.isChosen(line[name+1:nameEnd-1]):
			r.keep(line[name:nameEnd], line[value:end])
		}
		// A column may be stored beside being what it is.
		if into != nil && r.columns.chosen != nil && r.isChosen(line[name+1:nameEnd-1]) {
			r.keep(line[name:nameEnd], line[value:end])
		}
		var last bool
		if i, last = s.Another(end, true); i < 0 {
			return false
		}
		if last {
			return r.ends(i)
		}
	}
}

// ends tells whether the line ends at i, where its value does; -1: it is broken.
func (r *ndjsonReader) ends(i int) bool {
	if i >= 0 && i < len(r.scan.Body) {
		r.scan.Fail(i, "something follows the value")
	}
	return r.scan.Failure == ""
}

// into is where the value of the field that begins b is to be noted, and the
// length of its name with quotes; nil, 0 if it is not known by its bytes.
func (f *found) into(r *ndjsonReader, b []byte) (*[]byte, int) {
	switch {
	case bytes.HasPrefix(b, r.phoneKey):
		return &f.phone, len(r.phoneKey)
	case bytes.HasPrefix(b, r.timeKey):
		return &f.occurredAt, len(r.timeKey)
	case len(r.metaKey) > 0 && bytes.HasPrefix(b, r.metaKey):
		return &f.metadata, len(r.metaKey)
	case len(r.typeKey) > 0 && bytes.HasPrefix(b, r.typeKey):
		return &f.eventType, len(r.typeKey)
	}
	return nil, 0
}

// escaped is into for a name with escapes.
func (f *found) escaped(r *ndjsonReader, name []byte) *[]byte {
	switch string(rawjson.AppendUnescaped(nil, name, math.MaxInt)) {
	case r.columns.phone:
		return &f.phone
	case r.columns.occurredAt:
		return &f.occurredAt
	case r.columns.metadata:
		return &f.metadata
	case r.columns.eventType:
		return &f.eventType
	}
	return nil
}

func (r *ndjsonReader) isChosen(name []byte) bool {
	if bytes.IndexByte(name, '\\') >= 0 {
		name = rawjson.AppendUnescaped(nil, name, math.MaxInt)
	}
	for _, chosen := range r.columns.chosen {
		if chosen == string(name) {
			return true
		}
	}
	return false
}

// keep adds a field to the metadata.
func (r *ndjsonReader) keep(name, value []byte) {
	if len(r.meta) > 1 {
		r.meta = append(r.meta, ',')
	}
	r.meta = append(append(r.meta, name...), ':')
	if c := value[0]; (c == '{' || c == '[') && r.scan.Space > 0 {
		r.meta = rawjson.AppendCompact(r.meta, value)
		return
	}
	r.meta = append(r.meta, value...)
}

// phoneText is the phone's text: of a number its digits, of what is neither a
// number nor a string the JSON, which is no phone.
func (r *ndjsonReader) phoneText(value []byte) []byte {
	text, ok := r.text(0, value)
	if !ok {
		return value
	}
	return text
}

// timeText is the time's text; of a number its digits.
func (r *ndjsonReader) timeText(value []byte) []byte {
	text, ok := r.text(1, value)
	if !ok {
		return value
	}
	return text
}

// text is a string's text, empty of null and of what is not there; ok is false of
// anything else.
func (r *ndjsonReader) text(which int, value []byte) (text []byte, ok bool) {
	switch {
	case len(value) == 0 || value[0] == 'n':
		return nil, true
	case value[0] != '"':
		return nil, false
	}
	raw := value[1 : len(value)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw, true
	}
	r.texts[which] = rawjson.AppendUnescaped(r.texts[which][:0], raw, math.MaxInt)
	return r.texts[which], true
}
