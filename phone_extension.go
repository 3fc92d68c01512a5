package leadevents

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// runeClass sorts characters as VALID_PHONE_NUMBER does.
type runeClass uint8

const (
	classOther       runeClass = iota // in no number, but perhaps in an extension
	classDigit                        // \p{Nd}
	classPunctuation                  // VALID_PUNCTUATION and the star
	classX                            // x, both punctuation and a letter
	classLetter                       // VALID_ALPHA
)

func classOf(r rune) runeClass {
	switch {
	case '0' <= r && r <= '9':
		return classDigit
	case r == 'x' || r == 'X':
		return classX
	case isASCIILetter(r):
		return classLetter
	case r < utf8.RuneSelf:
		switch r {
		case '-', ' ', '(', ')', '.', '[', ']', '/', '~', '*':
			return classPunctuation
		}
		return classOther
	case unicode.IsDigit(r):
		return classDigit
	}
	switch r {
	case '\u017F', '\u212A': // ſ and the Kelvin sign: s and k, whatever their case
		return classLetter
	case '\u00A0', '\u00AD', '\u200B', '\u2010', '\u2011', '\u2012', '\u2013', '\u2014', '\u2015',
		'\u2053', '\u2060', '\u2212', '\u223C', '\u3000', '\u30FC', '\uFF08', '\uFF09',
		'\uFF0D', '\uFF0E', '\uFF0F', '\uFF3B', '\uFF3D', '\uFF5E':
		return classPunctuation
	}
	return classOther
}

// The words that announce an extension; where one ends with another, the longer
// stands first. explicitLabels may have 20 digits after them, ambiguousLabels 9.
var (
	explicitLabels = []string{
		"extensio\u0301n", "extensio\u0301", "extension", "extensio", "extensi\u00F3n", "extensi\u00F3", "extn", "ext",
		"xtensio\u0301n", "xtensio\u0301", "xtension", "xtensio", "xtensi\u00F3n", "xtensi\u00F3", "xtn", "xt",
		"\uFF45\uFF58\uFF54\uFF4E", "\uFF45\uFF58\uFF54", "\uFF58\uFF54\uFF4E", "\uFF58\uFF54",
		"\u0434\u043E\u0431", "anexo",
	}
	ambiguousLabels = []string{"x", "\uFF58", "#", "\uFF03", "~", "\uFF5E", "int", "\uFF49\uFF4E\uFF54"}
)

// extensionStart is where EXTN_PATTERN begins to match in s, or -1.
//
// The pattern is a list of alternatives, each a label and digits at the end of
// the text. Neither labels nor what may stand around them have digits in them,
// so that the extension's digits are all the trailing ones; the label is looked
// for backwards from there. Where more than one alternative matches, or one at
// more than one place, the match that begins first counts.
func extensionStart(s string) int {
	text, hash := strings.CutSuffix(s, "#")
	head := strings.TrimRightFunc(text, unicode.IsDigit)
	digits := utf8.RuneCountInString(text[len(head):])
	if digits == 0 || digits > 20 {
		return -1
	}

	// possibleCharsAfterExtLabel is [:.．]?[ \u00A0\t,-]*: words end before it.
	run := strings.TrimRightFunc(head, isAfterLabel)
	beforeRun := len(run)
	colon := false
	if last, size := utf8.DecodeLastRuneInString(run); last == ':' || last == '.' || last == '\uFF0E' {
		run, colon = run[:len(run)-size], true
	}

	start := len(s)
	first := func(at int) { start = min(start, at) }
	if last, _ := utf8.DecodeLastRuneInString(run); mayEndLabel(last) {
		if at := labelStart(run, explicitLabels); at >= 0 {
			first(trimSeparators(run[:at], true))
		}
		if digits <= 9 {
			if at := labelStart(run, ambiguousLabels); at >= 0 {
				first(trimSeparators(run[:at], true))
			}
		}
		if digits <= 15 && last == ';' {
			first(trimSeparators(run[:len(run)-1], false))
		}
	}
	if !hash { // RFC 3966
		if at := labelStart(head, rfc3966Labels); at >= 0 {
			first(at)
		}
	}
	if hash && digits <= 6 { // "- 503#"
		if at := len(strings.TrimRight(head, "- ")); at < len(head) {
			first(at)
		}
	}
	// Commas announce too: one or more for 9 digits, a pair for 15. They are
	// also among what may follow a label, so any of the run can be the label.
	if digits <= 15 {
		label := ","
		if digits > 9 {
			label = ",,"
		}
		if at := strings.Index(head[beforeRun:], label); at >= 0 {
			first(trimSeparators(head[:beforeRun+at], false))
		}
		if colon && strings.HasSuffix(run, label) {
			at := len(run) - len(label)
			if digits <= 9 {
				at = len(strings.TrimRight(run, ","))
			}
			first(trimSeparators(run[:at], false))
		}
	}
	if start == len(s) {
		return -1
	}
	return start
}

var rfc3966Labels = []string{";ext="}

// isAfterLabel is [ \u00A0\t,-].
func isAfterLabel(r rune) bool {
	return r == ' ' || r == '-' || r == ',' || r == '\t' || r == '\u00A0'
}

// trimSeparators is the length of s without its trailing separators, which may
// include commas (possibleSeparatorsBetweenNumberAndExtLabel) or not
// (possibleSeparatorsNumberExtLabelNoComma).
func trimSeparators(s string, commas bool) int {
	return len(strings.TrimRightFunc(s, func(r rune) bool {
		return r == ' ' || r == '\t' || r == '\u00A0' || commas && r == ','
	}))
}

// mayEndLabel says cheaply that no label ends with r.
func mayEndLabel(r rune) bool {
	switch r {
	case 't', 'T', 'n', 'N', 'o', 'O', 'x', 'X', '#', '~', ';':
		return true
	}
	return r >= utf8.RuneSelf
}

// labelStart is where the first of the labels begins that s ends with, whatever
// its case, or -1.
func labelStart(s string, labels []string) int {
	for _, label := range labels {
		rest := s
		for label != "" {
			want, size := utf8.DecodeLastRuneInString(label)
			got, gotSize := utf8.DecodeLastRuneInString(rest)
			if !equalFold(got, want) {
				break
			}
			label, rest = label[:len(label)-size], rest[:len(rest)-gotSize]
		}
		if label == "" {
			return len(rest)
		}
	}
	return -1
}

// equalFold compares as (?i) does.
func equalFold(a, b rune) bool {
	for r := a; ; {
		if r == b {
			return true
		}
		if r = unicode.SimpleFold(r); r == a {
			return false
		}
	}
}
