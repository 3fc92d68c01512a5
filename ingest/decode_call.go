package ingest

import (
	"math"

	"leadevents"
)

// Names of the fields, as they are compared.
const (
	fieldOrganization = "organizationId"
	fieldEventType    = "eventType"
	fieldEvents       = "events"
	fieldPhone        = "phoneE164"
	fieldOccurredAt   = "occurredAt"
	fieldMetadata     = "metadata"
)

// call scans the body's object, which starts at i, and is the place after it.
func (s *scanner) call(i int) int {
	i = s.blank(i + 1)
	if i < len(s.body) && s.body[i] == '}' {
		return i + 1
	}
	for {
		name, value := s.field(i)
		if value < 0 {
			return -1
		}
		if !s.names.add(s.body, name.start) {
			return s.fail(int(name.start), "the top-level field \""+shown(name.of(s.body))+"\" stands there twice")
		}
		end := 0
		isEvents := nameIs(name.of(s.body), fieldEvents)
		if isEvents && value < len(s.body) && s.body[value] == '[' {
			end = s.eventArray(value)
		} else {
			end = s.value(value, maxNesting-1) // the body's object is a level
		}
		if end < 0 {
			return -1
		}
		found := span{uint32(value), uint32(end)}
		switch raw := name.of(s.body); {
		case isEvents:
			s.events = found
		case nameIs(raw, fieldOrganization):
			s.organization = found
		case nameIs(raw, fieldEventType):
			s.eventType = found
		}
		var last bool
		if i, last = s.another(end, true); i < 0 || last {
			return i
		}
	}
}

// field scans a field's name and colon; name is its text without the quotes,
// value the place where the value starts, -1 if there is an error.
func (s *scanner) field(i int) (name span, value int) {
	b := s.body
	if i >= len(b) || b[i] != '"' {
		return span{}, s.unexpected(i, "a field name")
	}
	end, ok := scanString(b, i+1)
	if !ok {
		return span{}, s.fail(end, stringFailure(b, end))
	}
	name = span{uint32(i + 1), uint32(end)}
	return name, s.colon(end + 1)
}

// another scans what follows a value: a comma, then it is the place where the
// next field or element starts; or the closing brace or bracket, then it is
// the place after that, with last.
func (s *scanner) another(i int, inObject bool) (after int, last bool) {
	i = s.blank(i)
	if i < len(s.body) {
		switch s.body[i] {
		case ',':
			return s.blank(i + 1), false
		case closer(inObject):
			return i + 1, true
		}
	}
	return s.unexpected(i, wantedAfter(inObject)), false
}

// eventArray scans the array of events that starts at i, and is the place after
// it. Elements beyond MaxEvents are only counted: the call will be refused.
func (s *scanner) eventArray(i int) int {
	i = s.blank(i + 1)
	if i < len(s.body) && s.body[i] == ']' {
		return i + 1
	}
	for {
		var r rowSpans
		var end int
		if i < len(s.body) && s.body[i] == '{' {
			r.isObject = true
			end = s.event(i, &r)
		} else {
			end = s.value(i, math.MaxInt)
		}
		if end < 0 {
			return -1
		}
		if s.received++; s.received <= leadevents.MaxEvents {
			s.rows = append(s.rows, r)
		}
		var last bool
		if i, last = s.another(end, false); i < 0 || last {
			return i
		}
	}
}

// event scans one event's object, which starts at i, notes in r where its
// fields are, and is the place after it.
func (s *scanner) event(i int, r *rowSpans) int {
	i = s.blank(i + 1)
	if i < len(s.body) && s.body[i] == '}' {
		return i + 1
	}
	for {
		into, value := s.eventField(i, r)
		if value < 0 {
			return -1
		}
		end := s.value(value, math.MaxInt)
		if end < 0 {
			return -1
		}
		if into != nil {
			*into = span{uint32(value), uint32(end)}
			if into == &r.metadata {
				r.space, r.tooDeep = 0, false
				if c := s.body[value]; c == '{' || c == '[' {
					r.space, r.tooDeep = uint32(s.space), s.depth > MaxMetadataDepth
				}
			}
		}
		var last bool
		if i, last = s.another(end, true); i < 0 || last {
			return i
		}
	}
}

// eventField scans the name and colon of an event's field; into is where its
// value is to be noted, nil for an unknown field; value is as field has it. A
// name that stands there plainly, quotes and all, is known without being looked
// at byte by byte: a fifth of the scan's time.
func (s *scanner) eventField(i int, r *rowSpans) (into *span, value int) {
	b := s.body[i:]
	switch {
	case startsWith(b, `"`+fieldPhone+`"`):
		into, i = &r.phone, i+len(`"`+fieldPhone+`"`)
	case startsWith(b, `"`+fieldOccurredAt+`"`):
		into, i = &r.occurredAt, i+len(`"`+fieldOccurredAt+`"`)
	case startsWith(b, `"`+fieldMetadata+`"`):
		into, i = &r.metadata, i+len(`"`+fieldMetadata+`"`)
	default:
		name, value := s.field(i)
		switch raw := name.of(s.body); {
		case nameIs(raw, fieldPhone):
			into = &r.phone
		case nameIs(raw, fieldOccurredAt):
			into = &r.occurredAt
		case nameIs(raw, fieldMetadata):
			into = &r.metadata
		}
		return into, value
	}
	return into, s.colon(i)
}

// startsWith is inlined for a constant, bytes.HasPrefix is not.
func startsWith(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// colon scans a colon, and is the place where the value after it starts.
func (s *scanner) colon(i int) int {
	if i = s.blank(i); i >= len(s.body) || s.body[i] != ':' {
		return s.unexpected(i, "a colon")
	}
	return s.blank(i + 1)
}
