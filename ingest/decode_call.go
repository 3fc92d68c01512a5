package ingest

import (
	"math"

	"leadevents"
	"leadevents/internal/rawjson"
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
	i = s.Blank(i + 1)
	if i < len(s.Body) && s.Body[i] == '}' {
		return i + 1
	}
	for {
		name, value := s.Field(i)
		if value < 0 {
			return -1
		}
		if !s.names.add(s.Body, name.Start) {
			return s.Fail(int(name.Start), "the top-level field \""+rawjson.Shown(name.Of(s.Body))+"\" stands there twice")
		}
		end := 0
		isEvents := rawjson.NameIs(name.Of(s.Body), fieldEvents)
		if isEvents && value < len(s.Body) && s.Body[value] == '[' {
			end = s.eventArray(value)
		} else {
			end = s.Value(value, maxNesting-1) // the body's object is a level
		}
		if end < 0 {
			return -1
		}
		found := rawjson.Span{Start: uint32(value), End: uint32(end)}
		switch raw := name.Of(s.Body); {
		case isEvents:
			s.events = found
		case rawjson.NameIs(raw, fieldOrganization):
			s.organization = found
		case rawjson.NameIs(raw, fieldEventType):
			s.eventType = found
		}
		var last bool
		if i, last = s.Another(end, true); i < 0 || last {
			return i
		}
	}
}

// eventArray scans the array of events that starts at i, and is the place after
// it. Elements beyond MaxEvents are only counted: the call will be refused.
func (s *scanner) eventArray(i int) int {
	i = s.Blank(i + 1)
	if i < len(s.Body) && s.Body[i] == ']' {
		return i + 1
	}
	for {
		var r rowSpans
		var end int
		if i < len(s.Body) && s.Body[i] == '{' {
			r.isObject = true
			end = s.event(i, &r)
		} else {
			end = s.Value(i, math.MaxInt)
		}
		if end < 0 {
			return -1
		}
		if s.received++; s.received <= leadevents.MaxEvents {
			s.rows = append(s.rows, r)
		}
		var last bool
		if i, last = s.Another(end, false); i < 0 || last {
			return i
		}
	}
}

// event scans one event's object, which starts at i, notes in r where its
// fields are, and is the place after it.
func (s *scanner) event(i int, r *rowSpans) int {
	i = s.Blank(i + 1)
	if i < len(s.Body) && s.Body[i] == '}' {
		return i + 1
	}
	for {
		into, value := s.eventField(i, r)
		if value < 0 {
			return -1
		}
		end := s.Value(value, math.MaxInt)
		if end < 0 {
			return -1
		}
		if into != nil {
			*into = rawjson.Span{Start: uint32(value), End: uint32(end)}
			if into == &r.metadata {
				r.space, r.tooDeep = 0, false
				if c := s.Body[value]; c == '{' || c == '[' {
					r.space, r.tooDeep = uint32(s.Space), s.Depth > MaxMetadataDepth
				}
			}
		}
		var last bool
		if i, last = s.Another(end, true); i < 0 || last {
			return i
		}
	}
}

// eventField scans the name and colon of an event's field; into is where its
// value is to be noted, nil for an unknown field; value is as field has it. A
// name that stands there plainly, quotes and all, is known without being looked
// at byte by byte: a fifth of the scan's time.
func (s *scanner) eventField(i int, r *rowSpans) (into *rawjson.Span, value int) {
	b := s.Body[i:]
	switch {
	case startsWith(b, `"`+fieldPhone+`"`):
		into, i = &r.phone, i+len(`"`+fieldPhone+`"`)
	case startsWith(b, `"`+fieldOccurredAt+`"`):
		into, i = &r.occurredAt, i+len(`"`+fieldOccurredAt+`"`)
	case startsWith(b, `"`+fieldMetadata+`"`):
		into, i = &r.metadata, i+len(`"`+fieldMetadata+`"`)
	default:
		name, value := s.Field(i)
		switch raw := name.Of(s.Body); {
		case rawjson.NameIs(raw, fieldPhone):
			into = &r.phone
		case rawjson.NameIs(raw, fieldOccurredAt):
			into = &r.occurredAt
		case rawjson.NameIs(raw, fieldMetadata):
			into = &r.metadata
		}
		return into, value
	}
	return into, s.Colon(i)
}

// startsWith is inlined for a constant, bytes.HasPrefix is not.
func startsWith(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}
