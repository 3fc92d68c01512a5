package schema

import (
	"fmt"
	"strings"
)

// split cuts SQL text into its statements at each ";" that is not inside a
// string, a quoted identifier, a heredoc or a comment, the way ClickHouse's own
// lexer sees them. Comments stay with the statement that they precede; pieces
// of nothing but space and comments are left out. A quote or comment that is
// never closed is an error naming its line.
func split(text string) ([]string, error) {
	var statements []string
	start, hasCode := 0, false
	flush := func(end int) {
		if hasCode {
			statements = append(statements, strings.TrimSpace(text[start:end]))
		}
		start, hasCode = end+1, false
	}
	for i := 0; i < len(text); {
		rest := text[i:]
		length, what, code := 1, "", true
		switch c := text[i]; {
		case c == ';':
			flush(i)
			i++
			continue
		case c == '\'' || c == '"' || c == '`':
			length, what = quotedLength(rest), "quote"
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
			length, code = lineLength(rest), false
		case strings.HasPrefix(rest, "/*"):
			length, what, code = closedLength(rest, 2, "*/"), "comment", false
		case c == '$':
			if tag := heredocTag(rest); tag != "" {
				length, what = closedLength(rest, len(tag), tag), "heredoc"
			}
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			code = false
		}
		if length < 0 {
			return nil, fmt.Errorf("the %s opened in line %d is never closed", what, 1+strings.Count(text[:i], "\n"))
		}
		hasCode = hasCode || code
		i += length
	}
	flush(len(text))
	return statements, nil
}

// quotedLength is the length of the quoted piece that s starts with, -1 without
// its end. A backslash escapes the next byte; a doubled quote needs no care: it
// reads as two quoted pieces side by side.
func quotedLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return -1
}

// lineLength is the length of s up to, not including, its first line break.
func lineLength(s string) int {
	if end := strings.IndexByte(s, '\n'); end >= 0 {
		return end
	}
	return len(s)
}

// closedLength is the length of the piece of s that is opened by its first
// opening bytes and closed by closing, -1 without its end.
func closedLength(s string, opening int, closing string) int {
	end := strings.Index(s[opening:], closing)
	if end < 0 {
		return -1
	}
	return opening + end + len(closing)
}

// heredocTag is the opening "$tag$" that s starts with, empty if there is none.
func heredocTag(s string) string {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '$':
			return s[:i+1]
		case c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z'):
			return ""
		}
	}
	return ""
}
