package ingest

import (
	"bytes"

	"leadevents"
	"leadevents/internal/rawjson"
)

// LookupOrganization finds the organizationId of a body that is not trusted
// yet: in hmac mode it says whose key the signature is to be checked with. It
// reads no more than it must, stops at the first organizationId at the top
// level, and is not told from a good body by what is broken after it. It
// allocates nothing and judges nothing: whatever it finds, Decode examines the
// body once the signature is known to be good. Where Decode succeeds both tell
// the same organization.
func LookupOrganization(body []byte) (leadevents.OrgID, bool) {
	i := skipSpace(body, 0)
	if i >= len(body) || body[i] != '{' {
		return 0, false
	}
	for {
		// A field: "name" : value
		i = skipSpace(body, i+1)
		if i >= len(body) || body[i] != '"' {
			return 0, false
		}
		end, ok := rawjson.ScanString(body, i+1)
		if !ok {
			return 0, false
		}
		name := body[i+1 : end]
		if i = skipSpace(body, end+1); i >= len(body) || body[i] != ':' {
			return 0, false
		}
		i = skipSpace(body, i+1)
		if rawjson.NameIs(name, fieldOrganization) {
			digits := i
			for i < len(body) && rawjson.IsDigit(body[i]) {
				i++
			}
			if i < len(body) && body[i] != ',' && body[i] != '}' && !rawjson.IsSpace(body[i]) {
				return 0, false
			}
			return parseOrganization(body[digits:i])
		}
		if i = skipValue(body, i); i >= len(body) || body[i] != ',' {
			return 0, false
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && rawjson.IsSpace(b[i]) {
		i++
	}
	return i
}

// structural marks the bytes that skipValue must look at.
var structural = [256]bool{'"': true, '{': true, '[': true, '}': true, ']': true, ',': true}

// skipValue is the place of the comma, brace or bracket that follows the value
// at i, or the end of b. Only strings and nesting are looked at, and the
// nesting only counted.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		c := b[i]
		if !structural[c] {
			i++
			continue
		}
		switch c {
		case '"':
			i = skipString(b, i+1)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}

// skipString is the place after the quote that ends the string whose text
// starts at i, or the end of b.
func skipString(b []byte, i int) int {
	for {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return len(b)
		}
		end := i + n
		// The quote is escaped if an odd number of backslashes stands before it.
		slashes := 0
		for end-slashes > i && b[end-slashes-1] == '\\' {
			slashes++
		}
		if i = end + 1; slashes%2 == 0 {
			return i
		}
	}
}
