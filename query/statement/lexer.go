package statement

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"leadevents"
)

// Limits bound a statement before anybody parses it.
type Limits struct {
	Bytes   int // of the text
	Nesting int // of parentheses, brackets and braces
}

// tokenKind is what a token is, as far as it matters here.
type tokenKind uint8

const (
	word   tokenKind = iota // bare: a keyword, a name, or a number
	quoted                  // an identifier in " or `
	text                    // a literal in '
	sign                    // one character
)

// token is a piece of a statement that is neither space nor comment.
type token struct {
	kind    tokenKind
	at, end int    // where it begins and ends, in bytes
	text    string // of a quoted identifier: without its quotes
}

// refuse is an invalid_query that says where.
func refuse(whole string, at int, format string, args ...any) error {
	return leadevents.Errorf(leadevents.InvalidQuery, "%s, at %s", fmt.Sprintf(format, args...), Position(whole, at))
}

// Position is a place in a text as people count: line and column from 1, the column
// in characters.
func Position(whole string, at int) string {
	at = min(at, len(whole))
	line := strings.Count(whole[:at], "\n") + 1
	column := utf8.RuneCountInString(whole[strings.LastIndexByte(whole[:at], '\n')+1:at]) + 1
	return fmt.Sprintf("line %d, column %d", line, column)
}

// lex cuts a statement into tokens. It knows less than ClickHouse's lexer, and refuses
// the rest: characters that it does not know outside of quotes, heredocs, nested
// comments and those that begin with # or //. So it never takes for a text or a comment
// what ClickHouse takes for a word (TestTheEngineCutsAlike, FuzzTheEngineCutsAlike).
func lex(whole string) ([]token, error) {
	var tokens []token
	for at := 0; at < len(whole); {
		c := whole[at]
		rest := whole[at:]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			at++
		// 5e--3 is 5e- and -3 to ClickHouse, and x'…' a text without escapes.
		case (c == '-' && strings.HasPrefix(rest, "--") || c == '\'' || c == '"' || c == '`') && at > 0 && wordCharacter(whole[at-1]):
			return nil, refuse(whole, at, "between a word or number and %s there must be a space", rest[:1])
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				return tokens, nil
			}
			at += end + 1
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			switch {
			case end < 0:
				return nil, refuse(whole, at, "a comment does not end")
			case strings.Contains(rest[2:2+end], "/*"):
				return nil, refuse(whole, at, "a comment has another one inside")
			}
			at += 2 + end + 2
		case strings.HasPrefix(rest, "//"):
			return nil, refuse(whole, at, "comments are written -- or /* */")
		case c == '\'' || c == '"' || c == '`':
			t, end, err := lexQuoted(whole, at)
			if err != nil {
				return nil, err
			}
			tokens, at = append(tokens, t), end
		case wordCharacter(c):
			end := at + 1
			for end < len(whole) && wordCharacter(whole[end]) {
				end++
			}
			tokens, at = append(tokens, token{word, at, end, whole[at:end]}), end
		case strings.IndexByte("()[]{},.;:+-*/%<>=!?|&^@", c) >= 0:
			tokens, at = append(tokens, token{sign, at, at + 1, whole[at : at+1]}), at+1
		default:
			r, _ := utf8.DecodeRuneInString(rest)
			return nil, refuse(whole, at, "%q may stand in quotes only", r)
		}
	}
	return tokens, nil
}

func wordCharacter(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// lexQuoted reads a text or an identifier in quotes: a doubled quote is one, and a
// backslash takes the next character with it, which identifiers may not have.
func lexQuoted(whole string, from int) (t token, end int, err error) {
	quote := whole[from]
	var name []byte
	for at := from + 1; at < len(whole); at++ {
		c := whole[at]
		switch {
		case c == quote && at+1 < len(whole) && whole[at+1] == quote:
			at++
			name = append(name, quote)
		case c == quote && quote == '\'':
			return token{text, from, at + 1, whole[from+1 : at]}, at + 1, nil
		case c == quote:
			return token{quoted, from, at + 1, string(name)}, at + 1, nil
		case c == '\\' && quote == '\'':
			at++
		case quote == '\'':
		case c == '\\' || c < ' ' || c == 0x7f:
			return t, 0, refuse(whole, at, "names in quotes may not have backslashes and control characters")
		default:
			name = append(name, c)
		}
	}
	return t, 0, refuse(whole, from, "a quote %c is not closed", quote)
}
