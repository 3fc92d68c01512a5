package statement

import (
	"slices"
	"strings"
	"unicode/utf8"

	"leadevents"
)

// Statement is a text whose words are allowed. Its tree is another matter.
type Statement struct {
	Text   string // as it came, but for a semicolon at its end
	tokens []token
}

// refusedWords are keywords of clauses that the tree hides, or that say where an answer
// goes. ClickHouse takes a word in quotes for a name, never for a keyword.
var refusedWords = map[string]string{
	"SETTINGS": "SETTINGS are not allowed: limits are the server's",
	"FORMAT":   "FORMAT is not allowed: ?format= chooses the format",
	"INTO":     "INTO is not allowed: a statement only reads",
	"OUTFILE":  "OUTFILE is not allowed: a statement only reads",
	"INFILE":   "INFILE is not allowed: a statement only reads",
}

// Read looks at a statement's words. The error is an invalid_query that names word and
// place.
func Read(whole string, limits Limits) (Statement, error) {
	switch {
	case len(whole) > limits.Bytes:
		return Statement{}, leadevents.Errorf(leadevents.InvalidQuery, "query has %d bytes, more than %d (sql.max_query_bytes); long lists go into params", len(whole), limits.Bytes)
	case !utf8.ValidString(whole):
		return Statement{}, leadevents.Errorf(leadevents.InvalidQuery, "query is not UTF-8")
	case strings.ContainsFunc(whole, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' }):
		return Statement{}, leadevents.Errorf(leadevents.InvalidQuery, "query has a control character; in texts they are written as \\0, \\b and the like")
	}
	tokens, err := lex(whole)
	if err != nil {
		return Statement{}, err
	}
	s := Statement{Text: whole, tokens: tokens}
	if n := len(tokens); n > 0 && tokens[n-1].is(";") {
		// Only space and comments stand behind it.
		s.Text, s.tokens = whole[:tokens[n-1].at], tokens[:n-1]
	}
	if len(s.tokens) == 0 {
		return Statement{}, leadevents.Errorf(leadevents.InvalidQuery, "query is empty: it must be one SELECT, or WITH … SELECT")
	}
	begin := 0
	for begin < len(s.tokens)-1 && s.tokens[begin].is("(") {
		begin++
	}
	if first := s.tokens[begin]; first.kind != word || !strings.EqualFold(first.text, "SELECT") && !strings.EqualFold(first.text, "WITH") {
		return Statement{}, refuse(whole, first.at, "query must be one SELECT, or WITH … SELECT")
	}
	return s, s.check(limits)
}

func (s Statement) check(limits Limits) error {
	depth := 0
	for i, t := range s.tokens {
		switch {
		case t.is(";"):
			return refuse(s.Text, t.at, "query has more than one statement")
		case t.is("@"):
			return refuse(s.Text, t.at, "variables are not allowed")
		case t.is("("), t.is("["), t.is("{"):
			if depth++; depth > limits.Nesting {
				return refuse(s.Text, t.at, "query is nested deeper than %d (sql.max_nesting)", limits.Nesting)
			}
			if t.is("{") {
				if err := s.placeholder(i); err != nil {
					return err
				}
			}
		case t.is(")"), t.is("]"), t.is("}"):
			depth--
		case t.kind == word:
			upper := strings.ToUpper(t.text)
			if why, refused := refusedWords[upper]; refused {
				return refuse(s.Text, t.at, "%s", why)
			}
			if upper == "UUID" && i+1 < len(s.tokens) && s.tokens[i+1].kind == text {
				return refuse(s.Text, t.at, "a table may not be named by its UUID")
			}
		}
	}
	return nil
}

// placeholder checks {name:Type}: a value, not a name of something.
func (s Statement) placeholder(at int) error {
	end := slices.IndexFunc(s.tokens[at:], func(t token) bool { return t.is("}") })
	if end < 4 || s.tokens[at+1].kind != word || !s.tokens[at+2].is(":") {
		return refuse(s.Text, s.tokens[at].at, "a parameter is written {name:Type}")
	}
	for _, t := range s.tokens[at+3 : at+end] {
		// The type's texts count when the statement is parsed, before anybody judges its tree.
		if t.kind == text && (strings.HasPrefix(t.text, zoneFile) || strings.Contains(t.text, `\`)) {
			return refuse(s.Text, t.at, "a parameter's type cannot have the text '%s'", t.text)
		}
		if t.kind == quoted || strings.EqualFold(t.text, "Identifier") || strings.HasSuffix(strings.ToLower(t.text), "aggregatefunction") {
			return refuse(s.Text, t.at, "a parameter cannot be of the type %s", t.text)
		}
	}
	return nil
}

// is tells whether the token is that sign.
func (t token) is(s string) bool { return t.kind == sign && t.text == s }

// find is where a name stands, for an error: the first of it, or the beginning.
func (s Statement) find(name string) int {
	for _, t := range s.tokens {
		if (t.kind == word || t.kind == quoted) && strings.EqualFold(t.text, name) {
			return t.at
		}
	}
	return 0
}
