package ingest

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"leadevents"
)

// maxNesting bounds the nesting of what the contract does not speak of: the
// body and the values of its top-level fields. (Inside an event nothing is
// refused for its depth here: a row's depth is that row's affair alone, and
// costs a bit a level.) It is encoding/json's bound too.
const maxNesting = 10_000

// span is a piece of the body. The zero span is "not there": the first byte of
// a body is its opening brace, never a field's value.
type span struct{ start, end uint32 }

// of is the piece itself, empty if it is not there.
func (p span) of(body []byte) []byte { return body[p.start:p.end] }

// rowSpans is what the scan found of one element of events: where its fields stand
// (the last appearance of each), 32 bytes.
type rowSpans struct {
	phone, occurredAt, metadata span
	space                       uint32 // white space between the tokens of metadata, in bytes
	tooDeep                     bool   // metadata is nested deeper than MaxMetadataDepth
	isObject                    bool
}

// scanner reads a body once: it checks every byte against RFC 8259 and notes
// where the fields are. It allocates nothing per row and does not recurse.
type scanner struct {
	body []byte

	isObject                        bool
	organization, eventType, events span
	received                        int        // elements of events, also beyond leadevents.MaxEvents
	rows                            []rowSpans // the first leadevents.MaxEvents of them
	names                           nameSet

	stack []uint64 // a bit for each open array (0) or object (1), for containers in a value
	space int      // of the last container: white space between its tokens, in bytes
	depth int      // of the last container: its nesting, itself the first level

	failedAt int    // where the first error is
	failure  string // what it is
}

// reset forgets the body, and buffers of unusual size.
func (s *scanner) reset() {
	names := s.names
	names.reset()
	*s = scanner{rows: keep(s.rows, keepRows), stack: keep(s.stack, keepBytes/64), names: names}
}

// fail notes the first error; the -1 it returns stands for "no end".
func (s *scanner) fail(i int, what string) int {
	if s.failure == "" {
		s.failedAt, s.failure = i, what
	}
	return -1
}

// unexpected is the error at i where something else had to stand.
func (s *scanner) unexpected(i int, wanted string) int {
	if i >= len(s.body) {
		return s.fail(i, "the body ends where "+wanted+" was expected")
	}
	return s.fail(i, wanted+" was expected")
}

// run scans the body, and tells an InvalidJSON error if it is not JSON.
func (s *scanner) run(body []byte) error {
	s.names.reset()
	*s = scanner{body: body, rows: s.rows[:0], stack: s.stack[:0], names: s.names}
	i := s.blank(0)
	switch {
	case i < len(body) && body[i] == '{':
		s.isObject = true
		i = s.call(i)
	case len(body) >= 3 && body[0] == 0xEF && body[1] == 0xBB && body[2] == 0xBF:
		i = s.fail(0, "a byte order mark must not stand before it")
	default:
		i = s.value(i, maxNesting)
	}
	if i >= 0 {
		if i = s.blank(i); i < len(body) {
			s.fail(i, "nothing but white space may follow the value")
		}
	}
	if s.failure != "" {
		return leadevents.Errorf(leadevents.InvalidJSON, "the body is not valid JSON: %s, at byte %d", s.failure, s.failedAt)
	}
	return nil
}

// blank is the place of the first byte from i on that is not white space.
func (s *scanner) blank(i int) int {
	for i < len(s.body) && isSpace(s.body[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool {
	return c <= ' ' && (c == ' ' || c == '\n' || c == '\t' || c == '\r')
}

// value scans a value of at most limit levels that starts at i, and is the
// place after it.
func (s *scanner) value(i, limit int) int {
	if i < len(s.body) {
		switch c := s.body[i]; c {
		case '"':
			return s.text(i)
		case '{', '[':
			return s.container(i, limit)
		default:
			return s.plain(i)
		}
	}
	return s.unexpected(i, "a value")
}

// plain scans a number, true, false or null.
func (s *scanner) plain(i int) int {
	switch s.body[i] {
	case 't':
		return s.word(i, "true")
	case 'f':
		return s.word(i, "false")
	case 'n':
		return s.word(i, "null")
	}
	return s.number(i)
}

// word scans one of the three names of JSON.
func (s *scanner) word(i int, name string) int {
	if end := i + len(name); end <= len(s.body) && string(s.body[i:end]) == name {
		return end
	}
	return s.fail(i, "a value was expected")
}

// number scans a number: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
func (s *scanner) number(i int) int {
	b := s.body
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case i < len(b) && isDigit(b[i]):
		i = s.digits(i)
	default:
		return s.unexpected(i, "a value")
	}
	if i < len(b) && b[i] == '.' {
		if i++; i >= len(b) || !isDigit(b[i]) {
			return s.unexpected(i, "a digit")
		}
		i = s.digits(i)
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i >= len(b) || !isDigit(b[i]) {
			return s.unexpected(i, "a digit")
		}
		i = s.digits(i)
	}
	return i
}

func (s *scanner) digits(i int) int {
	for i < len(s.body) && isDigit(s.body[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// container scans an array or object of at most limit levels, and leaves its
// depth and the white space inside it in the scanner. What is open is kept as
// bits rather than on the stack of the goroutine, so a body of ten million
// brackets costs 1.25 MB and no more.
func (s *scanner) container(i, limit int) int {
	b := s.body
	depth, deepest, space := 0, 0, 0
	inObject := false

open:
	if depth++; depth > limit {
		return s.fail(i, "it is nested too deeply")
	}
	deepest = max(deepest, depth)
	if word := depth >> 6; word == len(s.stack) {
		s.stack = append(s.stack, 0)
	}
	inObject = b[i] == '{'
	if inObject {
		s.stack[depth>>6] |= 1 << (depth & 63)
	} else {
		s.stack[depth>>6] &^= 1 << (depth & 63)
	}
	i++
	for i < len(b) && isSpace(b[i]) {
		i, space = i+1, space+1
	}
	if i < len(b) && b[i] == closer(inObject) {
		goto closed
	}
	if inObject {
		goto key
	}

value:
	if i >= len(b) {
		return s.unexpected(i, "a value")
	}
	switch b[i] {
	case '"':
		i = s.text(i)
	case '{', '[':
		goto open
	default:
		i = s.plain(i)
	}
	if i < 0 {
		return -1
	}

next:
	for i < len(b) && isSpace(b[i]) {
		i, space = i+1, space+1
	}
	if i >= len(b) {
		return s.unexpected(i, wantedAfter(inObject))
	}
	switch b[i] {
	case ',':
		i++
		for i < len(b) && isSpace(b[i]) {
			i, space = i+1, space+1
		}
		if !inObject {
			goto value
		}
	case closer(inObject):
		goto closed
	default:
		return s.unexpected(i, wantedAfter(inObject))
	}

key:
	if i >= len(b) || b[i] != '"' {
		return s.unexpected(i, "a field name")
	}
	if i = s.text(i); i < 0 {
		return -1
	}
	for i < len(b) && isSpace(b[i]) {
		i, space = i+1, space+1
	}
	if i >= len(b) || b[i] != ':' {
		return s.unexpected(i, "a colon")
	}
	i++
	for i < len(b) && isSpace(b[i]) {
		i, space = i+1, space+1
	}
	goto value

closed:
	i++
	if depth--; depth > 0 {
		inObject = s.stack[depth>>6]>>(depth&63)&1 == 1
		goto next
	}
	s.depth, s.space = deepest, space
	return i
}

// closer is the byte that ends an object or an array.
func closer(inObject bool) byte {
	if inObject {
		return '}'
	}
	return ']'
}

// wantedAfter is what may follow a value inside an object or an array.
func wantedAfter(inObject bool) string {
	if inObject {
		return "a comma or a closing brace"
	}
	return "a comma or a closing bracket"
}

// text scans a string whose opening quote is at i, and is the place after its
// closing quote.
func (s *scanner) text(i int) int {
	end, ok := scanString(s.body, i+1)
	if !ok {
		return s.fail(end, stringFailure(s.body, end))
	}
	return end + 1
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x8080808080808080
)

// scanString is the place of the quote that ends the string whose text starts
// at i; or, without ok, the place of what is wrong with it: a control
// character, a bad escape, bytes that are not UTF-8, or the end of b.
//
// It looks at eight bytes at a time, and at UTF-8 only where a byte above 127
// came by. (Outside strings JSON is ASCII, so nothing else needs the check; a
// utf8.Valid of the whole body first costs 1.5 ms of the benchmark's 6.2 MB.)
func scanString(b []byte, i int) (end int, ok bool) {
	start, high := i, uint64(0)
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			stops := stopBytes(w)
			if stops != 0 {
				first := stops & -stops
				high |= w & (first - 1)
				i += bits.TrailingZeros64(first) >> 3
				goto stop
			}
			high |= w
			i += 8
		}
		for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
			high |= uint64(b[i])
			i++
		}
		if i >= len(b) {
			return i, false
		}
	stop:
		if b[i] == '"' {
			break
		}
		n := escapeLength(b[i:])
		if n == 0 {
			return i, false
		}
		i += n
	}
	if high&highBits != 0 && !utf8.Valid(b[start:i]) {
		return invalidRune(b, start), false
	}
	return i, true
}

// stopBytes marks, with the highest bit of its byte, the first byte of w that
// is a quote, a backslash or below 32. Bytes after the first may be marked
// wrongly (the subtractions borrow), those before it never: of a byte below 128
// that is none of the three, no subtraction sets the highest bit, and those
// from 128 on are masked out.
func stopBytes(w uint64) uint64 {
	quote := w ^ '"'*everyByte
	slash := w ^ '\\'*everyByte
	return ((quote - everyByte) | (slash - everyByte) | (w - ' '*everyByte)) &^ w & highBits
}

// escapeLength is the length of the escape that starts b, or 0 if it is none.
func escapeLength(b []byte) int {
	if len(b) < 2 || b[0] != '\\' {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b[2:]); ok {
			return 6
		}
	}
	return 0
}

// invalidRune is the place of the first byte from i on that is not UTF-8.
func invalidRune(b []byte, i int) int {
	for i < len(b) {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	return i
}

// stringFailure says what is wrong at i, where scanString gave up.
func stringFailure(b []byte, i int) string {
	switch {
	case i >= len(b):
		return "the body ends inside a string"
	case b[i] == '\\':
		return "a string has an unknown or incomplete escape"
	case b[i] < ' ':
		return "a control character in a string must be escaped"
	default:
		return "a string is not UTF-8"
	}
}
