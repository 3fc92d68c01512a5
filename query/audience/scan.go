package audience

import (
	"bytes"
	"encoding/json"
	"iter"
	"unicode/utf8"
)

// validJSON tells whether doc is one JSON text in UTF-8. Everything else in
// this file takes valid JSON and does not check it again.
func validJSON(doc []byte) bool { return utf8.Valid(doc) && json.Valid(doc) }

// member is one key and value of an object, as they are written.
type member struct {
	key   []byte // with its quotes
	value []byte
}

// is tells whether the member's key is name, escapes resolved.
func (m member) is(name string) bool {
	if bytes.IndexByte(m.key, '\\') < 0 {
		return string(m.key[1:len(m.key)-1]) == name
	}
	return unquote(m.key) == name
}

// members are those of the object doc, in order, repeated keys included. They are
// read one by one, so that whoever stops at the first that is wrong has paid for no
// more.
func members(doc []byte) iter.Seq[member] {
	return func(yield func(member) bool) {
		i := skipSpace(doc, 1)
		for doc[i] != '}' {
			end := skipValue(doc, i)
			m := member{key: doc[i:end]}
			i = skipSpace(doc, skipSpace(doc, end)+1) // the colon
			end = skipValue(doc, i)
			m.value = doc[i:end]
			if !yield(m) {
				return
			}
			if i = skipSpace(doc, end); doc[i] == ',' {
				i = skipSpace(doc, i+1)
			}
		}
	}
}

// elements are those of the array doc, in order, with their indexes.
func elements(doc []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		i := skipSpace(doc, 1)
		for n := 0; doc[i] != ']'; n++ {
			end := skipValue(doc, i)
			if !yield(n, doc[i:end]) {
				return
			}
			if i = skipSpace(doc, end); doc[i] == ',' {
				i = skipSpace(doc, i+1)
			}
		}
	}
}

// count is how many elements the array doc has. Lists are counted before one of
// them is read: 10 MB hold 5 million zeros, and each would be a value of 100 bytes.
func count(doc []byte) (n int) {
	for range elements(doc) {
		n++
	}
	return n
}

// lookup descends from the object doc by the levels and returns the value
// there. Of a key that stands twice the first one is taken.
func lookup(doc []byte, levels []string) (value []byte, found bool) {
	doc = trimSpace(doc)
next:
	for _, level := range levels {
		if doc[0] != '{' {
			return nil, false
		}
		for m := range members(doc) {
			if m.is(level) {
				doc = m.value
				continue next
			}
		}
		return nil, false
	}
	return doc, true
}

// skipValue returns the index behind the value that begins at i.
func skipValue(doc []byte, i int) int {
	switch doc[i] {
	case '"':
		return skipString(doc, i)
	case '{', '[':
		depth := 0
		for {
			switch doc[i] {
			case '"':
				i = skipString(doc, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			i++
			if depth == 0 {
				return i
			}
		}
	default: // a number or a word
		for i < len(doc) && !isSpace(doc[i]) && doc[i] != ',' && doc[i] != '}' && doc[i] != ']' {
			i++
		}
		return i
	}
}

// skipString returns the index behind the string that begins at i.
func skipString(doc []byte, i int) int {
	for i++; doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipSpace(doc []byte, i int) int {
	for i < len(doc) && isSpace(doc[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// trimSpace cuts JSON's white space, which is less than Unicode's, off both ends.
func trimSpace(doc []byte) []byte { return bytes.Trim(doc, " \t\r\n") }

// unquote resolves the escapes of a JSON string; an unpaired surrogate becomes
// U+FFFD.
func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // valid already
	return s
}

// appendString appends s as a JSON string with the fewest escapes. What is not
// UTF-8 becomes U+FFFD, as when it is read.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
