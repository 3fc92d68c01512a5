package leadevents

import (
	"strconv"
	"strings"
	"unsafe"
)

// Phone is a phone number in E.164 without the plus, as a number: +15551234567
// is 15551234567. It fits: libphonenumber's longest possible numbers have 19
// digits with their calling code (Indonesia, Japan: 2 + 17), and 10^19 < 2^64.
type Phone uint64

// maxE164Digits is the longest number a Phone holds whatever its digits are.
const maxE164Digits = 19

// Why a text is not a phone. Neither says which text: phones are never logged.
var (
	errPhoneUnparsable = &Error{
		Kind:    InvalidRequest,
		Message: "the phone number does not parse: E.164 was expected, a plus, the calling code and the national number",
	}
	errPhoneImpossible = &Error{
		Kind:    InvalidRequest,
		Message: "the phone number is not possible: its calling code has no numbers of that length",
	}
)

// String is the number in E.164 with the plus.
func (p Phone) String() string { return string(p.AppendTo(nil)) }

// AppendTo appends the number in E.164 with the plus.
func (p Phone) AppendTo(b []byte) []byte {
	return strconv.AppendUint(append(b, '+'), uint64(p), 10)
}

// ParsePhone reads a phone as the contract says (API.md 1, `invalid phoneE164`):
// s is parsed as libphonenumber's parse does without a default region; if that
// fails, once more with surrounding white space (Unicode's) removed, and then a
// leading "00" made "+", or, where it begins with neither "00" nor "+", "+" put
// in front. What parsed must be possible: isPossibleNumberWithReason gives
// IS_POSSIBLE, not IS_POSSIBLE_LOCAL_ONLY. Possible is about the length alone:
// +15551234567 is accepted though nobody can have it. A number that parsed but
// is not possible is not tried again.
//
// The Phone is what libphonenumber's format writes in E.164: extensions are
// dropped, an Italian leading zero is kept, a national prefix ("+44 (0) 20 …")
// is removed where parse removes it.
//
// The error is of kind [InvalidRequest] and does not contain s.
//
// The answers are those of github.com/nyaruka/phonenumbers for any bytes, and
// come from its metadata, but not from its Parse, which costs 10 µs a number
// and 0.6 ms for a hostile one: see phone_text.go and phone_plan.go, and the
// differential tests that hold both to it.
func ParsePhone(s string) (Phone, error) {
	switch p, v := parsePhone(s); v {
	case phonePossible:
		return p, nil
	case phoneImpossible:
		return 0, errPhoneImpossible
	default:
		return 0, errPhoneUnparsable
	}
}

// ParsePhoneBytes is [ParsePhone] without the reason, for the decoder: it does
// not copy, keep or change b, and allocates only for numbers that may begin
// with a national prefix.
func ParsePhoneBytes(b []byte) (Phone, bool) {
	p, v := parsePhone(unsafe.String(unsafe.SliceData(b), len(b)))
	return p, v == phonePossible
}

// phoneVerdict is what became of a text. "Does not parse" and "is not possible"
// differ, for only the former is tried a second time.
type phoneVerdict uint8

const (
	phoneUnparsable phoneVerdict = iota
	phoneImpossible
	phonePossible
)

func parsePhone(s string) (Phone, phoneVerdict) {
	plans := numberingPlans()
	// Canonical text, a plus and ASCII digits, is its own normal form, and has
	// no second try: nothing surrounds it, and it begins with the plus.
	if len(s) > 1 && len(s) <= maxPhoneText && s[0] == '+' && allDigits(s[1:]) {
		return plans.decide(s[1:])
	}

	var text phoneText
	// Without a default region nothing parses that has no plus.
	if strings.Contains(s, "+") || strings.Contains(s, "\uFF0B") {
		if p, v := text.parse(plans, s); v != phoneUnparsable {
			return p, v
		}
	}
	second := strings.TrimSpace(s)
	switch {
	case strings.HasPrefix(second, "00"):
		return text.parsePlus(plans, second[2:])
	case !strings.HasPrefix(second, "+"):
		return text.parsePlus(plans, second)
	case len(second) != len(s):
		return text.parse(plans, second)
	default: // nothing changed, so neither would the answer
		return 0, phoneUnparsable
	}
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return true
}
