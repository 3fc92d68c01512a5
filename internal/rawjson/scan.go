package rawjson

// Span is a piece of the body. The zero Span is "not there": the first byte of
// a body is its opening brace, never a field's value.
type Span struct{ Start, End uint32 }

// Of is the piece itself, empty if it is not there.
func (p Span) Of(body []byte) []byte { return body[p.Start:p.End] }

// Scanner reads JSON once, checks every byte against RFC 8259, and tells where
// things stand. It allocates nothing per value and does not recurse. Its methods
// take the place where something starts and are the place after it, or -1: then
// Failure is what is wrong, and FailedAt where.
type Scanner struct {
	Body []byte

	Space int // of the last container: white space between its tokens, in bytes
	Depth int // of the last container: its nesting, itself the first level

	FailedAt int    // where the first error is
	Failure  string // what it is

	stack []uint64 // a bit for each open array (0) or object (1), for containers in a value
}

// Begin starts with another body; it must be shorter than 4 GiB.
func (s *Scanner) Begin(body []byte) { *s = Scanner{Body: body, stack: s.stack} }

// Reset forgets the body, and what deep nesting of more than levels needed.
func (s *Scanner) Reset(levels int) {
	if cap(s.stack) > levels/64 {
		s.stack = nil
	}
	s.Begin(nil)
}

// Fail notes the first error; the -1 it returns stands for "no end".
func (s *Scanner) Fail(i int, what string) int {
	if s.Failure == "" {
		s.FailedAt, s.Failure = i, what
	}
	return -1
}

// unexpected is the error at i where something else had to stand.
func (s *Scanner) unexpected(i int, wanted string) int {
	if i >= len(s.Body) {
		return s.Fail(i, "it ends where "+wanted+" was expected")
	}
	return s.Fail(i, wanted+" was expected")
}

// Blank is the place of the first byte from i on that is not white space.
func (s *Scanner) Blank(i int) int {
	for i < len(s.Body) && IsSpace(s.Body[i]) {
		i++
	}
	return i
}

func IsSpace(c byte) bool {
	return c <= ' ' && (c == ' ' || c == '\n' || c == '\t' || c == '\r')
}

// Value scans a value of at most limit levels that starts at i, and is the
// place after it.
func (s *Scanner) Value(i, limit int) int {
	if i < len(s.Body) {
		switch c := s.Body[i]; c {
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
func (s *Scanner) plain(i int) int {
	switch s.Body[i] {
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
func (s *Scanner) word(i int, name string) int {
	if end := i + len(name); end <= len(s.Body) && string(s.Body[i:end]) == name {
		return end
	}
	return s.Fail(i, "a value was expected")
}

// number scans a number: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
func (s *Scanner) number(i int) int {
	b := s.Body
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case i < len(b) && IsDigit(b[i]):
		i = s.digits(i)
	default:
		return s.unexpected(i, "a value")
	}
	if i < len(b) && b[i] == '.' {
		if i++; i >= len(b) || !IsDigit(b[i]) {
			return s.unexpected(i, "a digit")
		}
		i = s.digits(i)
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i >= len(b) || !IsDigit(b[i]) {
			return s.unexpected(i, "a digit")
		}
		i = s.digits(i)
	}
	return i
}

func (s *Scanner) digits(i int) int {
	for i < len(s.Body) && IsDigit(s.Body[i]) {
		i++
	}
	return i
}

func IsDigit(c byte) bool { return c-'0' <= 9 }

// container scans an array or object of at most limit levels, and leaves its
// depth and the white space inside it in the scanner. What is open is kept as
// bits rather than on the stack of the goroutine, so a body of ten million
// brackets costs 1.25 MB and no more.
func (s *Scanner) container(i, limit int) int {
	b := s.Body
	depth, deepest, space := 0, 0, 0
	inObject := false

open:
	if depth++; depth > limit {
		return s.Fail(i, "it is nested too deeply")
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
	for i < len(b) && IsSpace(b[i]) {
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
	for i < len(b) && IsSpace(b[i]) {
		i, space = i+1, space+1
	}
	if i >= len(b) {
		return s.unexpected(i, wantedAfter(inObject))
	}
	switch b[i] {
	case ',':
		i++
		for i < len(b) && IsSpace(b[i]) {
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
	for i < len(b) && IsSpace(b[i]) {
		i, space = i+1, space+1
	}
	if i >= len(b) || b[i] != ':' {
		return s.unexpected(i, "a colon")
	}
	i++
	for i < len(b) && IsSpace(b[i]) {
		i, space = i+1, space+1
	}
	goto value

closed:
	i++
	if depth--; depth > 0 {
		inObject = s.stack[depth>>6]>>(depth&63)&1 == 1
		goto next
	}
	s.Depth, s.Space = deepest, space
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
func (s *Scanner) text(i int) int {
	end, ok := ScanString(s.Body, i+1)
	if !ok {
		return s.Fail(end, stringFailure(s.Body, end))
	}
	return end + 1
}

// Field scans a field's name and colon; name is its text without the quotes,
// Value the place where the value starts, -1 if there is an error.
func (s *Scanner) Field(i int) (name Span, value int) {
	b := s.Body
	if i >= len(b) || b[i] != '"' {
		return Span{}, s.unexpected(i, "a field name")
	}
	end, ok := ScanString(b, i+1)
	if !ok {
		return Span{}, s.Fail(end, stringFailure(b, end))
	}
	name = Span{uint32(i + 1), uint32(end)}
	return name, s.Colon(end + 1)
}

// Another scans what follows a value: a comma, then it is the place where the
// next field or element starts; or the closing brace or bracket, then it is
// the place after that, with last.
func (s *Scanner) Another(i int, inObject bool) (after int, last bool) {
	i = s.Blank(i)
	if i < len(s.Body) {
		switch s.Body[i] {
		case ',':
			return s.Blank(i + 1), false
		case closer(inObject):
			return i + 1, true
		}
	}
	return s.unexpected(i, wantedAfter(inObject)), false
}

// Colon scans a colon, and is the place where the value after it starts.
func (s *Scanner) Colon(i int) int {
	if i = s.Blank(i); i >= len(s.Body) || s.Body[i] != ':' {
		return s.unexpected(i, "a colon")
	}
	return s.Blank(i + 1)
}
