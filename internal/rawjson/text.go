package rawjson

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendUnescaped appends the text of a valid string literal (without its
// quotes) to dst, at most limit code points of it. A \u escape of a lone
// surrogate becomes U+FFFD, as in encoding/json.
func AppendUnescaped(dst, raw []byte, limit int) []byte {
	for len(raw) > 0 && limit > 0 {
		if limit >= len(raw) { // no more code points than bytes: copy up to the next escape
			n := bytes.IndexByte(raw, '\\')
			if n < 0 {
				return append(dst, raw...)
			}
			dst, raw, limit = append(dst, raw[:n]...), raw[n:], limit-utf8.RuneCount(raw[:n])
		}
		r, n := nextRune(raw)
		dst, raw, limit = utf8.AppendRune(dst, r), raw[n:], limit-1
	}
	return dst
}

// nextRune is the first code point of the text of a valid string literal, and
// how many bytes stand for it there.
func nextRune(raw []byte) (r rune, n int) {
	if raw[0] != '\\' {
		return utf8.DecodeRune(raw)
	}
	switch raw[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, _ = hex4(raw[2:])
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
			low, _ := hex4(raw[8:])
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	default: // a quote, a backslash or a slash
		return rune(raw[1]), 2
	}
}

// hex4 reads the four hexadecimal digits that start b.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case IsDigit(c):
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// NameIs tells whether a field's name, as it stands in the body, is the given
// one once it is unescaped: "ev\u0065nts" is events. The given one is ASCII.
func NameIs(raw []byte, name string) bool {
	if len(raw) == len(name) { // an escaped name is longer than what it means
		return string(raw) == name
	}
	if len(raw) < len(name) || bytes.IndexByte(raw, '\\') < 0 {
		return false
	}
	for i := 0; i < len(name); i++ {
		if len(raw) == 0 {
			return false
		}
		r, n := nextRune(raw)
		if r != rune(name[i]) {
			return false
		}
		raw = raw[n:]
	}
	return len(raw) == 0
}

// Shown is a field's name for a message: unescaped, its beginning only.
func Shown(raw []byte) string { return string(AppendUnescaped(nil, raw, 64)) }

// AppendCompact appends a valid value without the white space between its tokens.
func AppendCompact(dst, value []byte) []byte {
	for i := 0; i < len(value); {
		switch c := value[i]; c {
		case ' ', '\t', '\n', '\r':
			i++
		case '"':
			end, _ := ScanString(value, i+1)
			dst = append(dst, value[i:end+1]...)
			i = end + 1
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst
}

// AppendQuoted appends UTF-8 text as a string literal. Only what must be is
// escaped.
func AppendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for i := 0; ; {
		start := i
		for i+8 <= len(text) && stopBytes(binary.LittleEndian.Uint64(text[i:])) == 0 {
			i += 8
		}
		for i < len(text) && text[i] != '"' && text[i] != '\\' && text[i] >= ' ' {
			i++
		}
		dst = append(dst, text[start:i]...)
		if i == len(text) {
			return append(dst, '"')
		}
		switch c := text[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
	}
}

const hexDigits = "0123456789abcdef"
