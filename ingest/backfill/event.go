package backfill

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"leadevents"
	"leadevents/internal/rawjson"
)

// Refusals that are not of API.md, and hints that are not of times.
const (
	refusedNoType = "missing eventType"
	refusedType   = "eventType must have 1 to 128 characters"
	refusedUTF8   = "not UTF-8"
	refusedLong   = "longer than 1 MiB; the first 64 KiB of it are kept"
	hintUTF8      = "perhaps it is in Windows-1252: iconv -f WINDOWS-1252 -t UTF-8"
	hintCut       = "the file ends in it: was it copied whole?"
	hintNational  = "the phone has no calling code; if it is a national number: --" + FlagRegion + ", as in US"
	hintNoPhone   = "the phone is empty"
	hintRegion    = "the phone is no number of the region of --" + FlagRegion
	hintMetadata  = "the column metadata has objects in its first rows; --" + FlagMetadata + " metadata stores it as one field, whatever it is"
	maxEventType  = 128 // code points
)

// shaper makes the fields of events out of a file's texts.
type shaper struct {
	mapping *Mapping
	clock   *clock
	buffers
	lastType  string                  // mostly the next row's too: no allocation
	phoneHint string                  // of the current row
	region    *leadevents.PhoneRegion // nil: none
}

// buffers are what rows are put together in.
type buffers struct {
	phone, time, meta, raw []byte
	window                 []byte // of the text that is read
	decompressors          decompressors
}

func newShaper(m *Mapping) (*shaper, error) {
	s := &shaper{mapping: m}
	var err error
	if s.clock, err = newClock(m.TimeFormat, m.TimeZone); err != nil {
		return nil, err
	}
	if m.Region != "" {
		var ok bool
		if s.region, ok = leadevents.NewPhoneRegion(m.Region); !ok {
			return nil, leadevents.Errorf(leadevents.InvalidRequest, "--%s %q is no region: two capitals were expected, as in US or DE", FlagRegion, m.Region)
		}
	}
	if n := utf8.RuneCountInString(m.FixedType); n > maxEventType || !utf8.ValidString(m.FixedType) {
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "--%s has %d characters; it must have 1 to %d, in UTF-8", FlagEventType, n, maxEventType)
	}
	return s, nil
}

// event fills row from its texts; empty is the same as missing. What is wrong
// first, in API.md's order, is the reason; a phone alone is not refused here:
// the server may know numbering plans that this program does not.
func (s *shaper) event(row *Row, phone, occurredAt, eventType []byte) {
	s.setPhone(row, phone)
	if reason := s.setTime(row, occurredAt); reason != "" {
		s.refuse(row, reason)
		return
	}
	s.setType(row, eventType)
}

// eventAt is event with a moment that has no text, of a local time if it is not zoned.
func (s *shaper) eventAt(row *Row, phone []byte, t time.Time, zoned bool, eventType []byte) {
	s.setPhone(row, phone)
	if reason := s.setDate(row, t, zoned); reason != "" {
		s.refuse(row, reason)
		return
	}
	s.setType(row, eventType)
}

func (s *shaper) setType(row *Row, text []byte) {
	if len(text) == 0 {
		row.EventType = s.mapping.FixedType
		if row.EventType == "" {
			s.refuse(row, refusedNoType)
		}
		return
	}
	if s.lastType != string(text) {
		if utf8.RuneCount(text) > maxEventType {
			s.refuse(row, refusedType)
			return
		}
		s.lastType = string(text)
	}
	row.EventType = s.lastType
}

// refuse refuses a row for its time, type or metadata, if its phone is right:
// that is judged first.
func (s *shaper) refuse(row *Row, reason string) {
	if _, ok := leadevents.ParsePhoneBytes(row.Phone); !ok {
		reason, row.Hint = leadevents.ReasonInvalidPhone, s.phoneHint
	}
	refuse(row, reason, row.Hint)
}

// refuse leaves of a row only why it is none.
func refuse(row *Row, reason, hint string) {
	*row = Row{Line: row.Line, Raw: row.Raw, Refused: reason, Hint: hint}
}

func (s *shaper) setPhone(row *Row, text []byte) {
	s.readPhone(row, text)
	s.phoneHint = row.Hint
}

func (s *shaper) readPhone(row *Row, text []byte) {
	row.Phone = text
	if len(text) > 0 && text[0] == '+' {
		return
	}
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) == 0 {
		row.Hint = hintNoPhone
		return
	}
	if trimmed[0] == '+' || bytes.HasPrefix(trimmed, []byte("00")) {
		return
	}
	if s.region == nil {
		row.Hint = hintNational
		return
	}
	phone, ok := s.region.Parse(trimmed)
	if !ok {
		row.Hint = hintRegion
		return
	}
	s.phone = phone.AppendTo(s.phone[:0])
	row.Phone = s.phone
}

// setTime reads a time, or is the reason why not.
func (s *shaper) setTime(row *Row, text []byte) (reason string) {
	if len(text) == 0 {
		return leadevents.ReasonMissingOccurredAt
	}
	m := s.clock.read(text)
	if m.hint != "" {
		row.Hint = m.hint
		return leadevents.ReasonInvalidOccurredAt
	}
	s.setMoment(row, text, m)
	return ""
}

func (s *shaper) setMoment(row *Row, text []byte, m moment) {
	row.At, row.OccurredAt = m.at, text
	if !m.asIs {
		s.time = appendMillis(s.time[:0], m.at)
		row.OccurredAt = s.time
	}
}

// setDate is setTime of moments that have no text: ok is false where they have
// no zone either.
func (s *shaper) setDate(row *Row, t time.Time, zoned bool) (reason string) {
	if !zoned {
		if s.clock.zone == nil {
			row.Hint = hintZone
			return leadevents.ReasonInvalidOccurredAt
		}
		y, m, d := t.Date()
		h, min, sec := t.Clock()
		t = time.Date(y, m, d, h, min, sec, t.Nanosecond(), s.clock.zone)
	}
	m := momentOf(t)
	if m.hint != "" {
		row.Hint = m.hint
		return leadevents.ReasonInvalidOccurredAt
	}
	s.setMoment(row, nil, m)
	return ""
}

// brokenText makes a text that could not be read a refused row.
func (s *shaper) brokenText(row *Row, text []byte, reason, hint string) {
	if reason != refusedLong && !utf8.Valid(text) {
		reason, hint = refusedUTF8, hintUTF8
	}
	s.raw = rawjson.AppendQuoted(s.raw[:0], validUTF8(text))
	row.Raw = s.raw
	refuse(row, reason, hint)
}

func validUTF8(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return []byte(strings.ToValidUTF8(string(text), "\uFFFD"))
}

// object is the text as a JSON object, compact, or nil if it is none.
func (s *shaper) object(scan *rawjson.Scanner, text []byte) []byte {
	scan.Begin(text)
	i := scan.Blank(0)
	if i >= len(text) || text[i] != '{' {
		return nil
	}
	end := scan.Value(i, maxDepth)
	if end < 0 || scan.Blank(end) != len(text) {
		return nil
	}
	if scan.Space == 0 {
		return text[i:end]
	}
	s.meta = rawjson.AppendCompact(s.meta[:0], text[i:end])
	return s.meta
}

// maxDepth bounds nesting; deeper metadata than 64 is the server's to refuse.
const maxDepth = 10_000
