package leadevents

import (
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"github.com/nyaruka/phonenumbers"
)

// maxPhoneText is libphonenumber's limit on what it parses, in bytes.
const maxPhoneText = phonenumbers.MAX_INPUT_STRING_LENGTH

// Parameters of RFC 3966, as phonenumbers looks for them: in lower case.
const (
	paramContext = phonenumbers.RFC3966_PHONE_CONTEXT
	paramISDN    = phonenumbers.RFC3966_ISDN_SUBADDRESS
	prefixTel    = phonenumbers.RFC3966_PREFIX
)

// phoneText reads a number out of a text: parse's first half, from
// buildNationalNumberForParsing to normalize, each step under libphonenumber's
// name, with loops where that has regular expressions. A text costs at most
// some tens of nanoseconds a byte (phonenumbers.Parse: up to 2.3 µs a byte, so
// that 10 MB of hostile phones would keep a core busy for half a minute).
//
// Without a default region only a number with a plus parses, so what is read
// always begins with one.
type phoneText struct {
	joined [2 * maxPhoneText]byte // a text put together from parts
	digits [2 * maxPhoneText]byte // the number's digits
}

// parsePlus is parse of s with a plus in front.
func (t *phoneText) parsePlus(plans *plansByStart, s string) (Phone, phoneVerdict) {
	if len(s)+1 > maxPhoneText {
		return 0, phoneUnparsable
	}
	if s != "" && allDigits(s) {
		return plans.decide(s)
	}
	// Not the buffer that parse joins a context in.
	var buf [maxPhoneText]byte
	buf[0] = '+'
	n := 1 + copy(buf[1:], s)
	return t.parse(plans, unsafe.String(&buf[0], n))
}

// parse is Parse(s, "ZZ") with isPossibleNumberWithReason and format.
func (t *phoneText) parse(plans *plansByStart, s string) (Phone, phoneVerdict) {
	if len(s) == 0 || len(s) > maxPhoneText {
		return 0, phoneUnparsable
	}
	number, ok := t.numberForParsing(s)
	if !ok || !viable(number) {
		return 0, phoneUnparsable
	}
	// maybeStripExtension: what precedes it is viable again, or it stays.
	if at := extensionStart(number); at >= 0 && viable(number[:at]) {
		number = number[:at]
	}
	digits, ascii := t.normalize(number)
	if !ascii {
		return parseForeignDigits(digits)
	}
	return plans.decide(digits)
}

// numberForParsing is buildNationalNumberForParsing.
func (t *phoneText) numberForParsing(s string) (string, bool) {
	number := ""
	at := strings.Index(s, paramContext)
	context := ""
	if at >= 0 {
		context, _, _ = strings.Cut(s[at+len(paramContext):], ";")
		if !validContext(context) {
			return "", false
		}
	}
	if at > 0 {
		from := 0
		if tel := strings.Index(s[:at], prefixTel); tel >= 0 {
			from = tel + len(prefixTel)
		}
		number = s[from:at]
		if context[0] == '+' {
			n := copy(t.joined[:], context)
			n += copy(t.joined[n:], number)
			number = unsafe.String(&t.joined[0], n)
		}
	} else {
		number = extractPossibleNumber(s)
	}
	if i := strings.Index(number, paramISDN); i > 0 {
		number = number[:i]
	}
	return number, true
}

// validContext is isPhoneContextValid: RFC 3966's global-number-digits or
// domainname.
func validContext(s string) bool {
	return isGlobalNumberDigits(s) || isDomainName(s)
}

func isGlobalNumberDigits(s string) bool {
	if s == "" || s[0] != '+' {
		return false
	}
	digits := 0
	for _, r := range s[1:] {
		switch {
		case unicode.IsDigit(r):
			digits++
		case r != '-' && r != '.' && r != '(' && r != ')':
			return false
		}
	}
	return digits > 0
}

func isDomainName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	for {
		label, rest, more := strings.Cut(s, ".")
		var first, last rune
		for i, r := range label {
			if !isASCIILetter(r) && !unicode.IsDigit(r) && r != '-' {
				return false
			}
			if i == 0 {
				first = r
			}
			last = r
		}
		// A label neither is empty nor begins or ends with a hyphen; the top
		// one begins with a letter.
		if label == "" || first == '-' || last == '-' || !more && !isASCIILetter(first) {
			return false
		}
		if !more {
			return true
		}
		s = rest
	}
}

func isASCIILetter(r rune) bool {
	return 'a' <= r|0x20 && r|0x20 <= 'z' && r < utf8.RuneSelf
}

func isPlus(r rune) bool { return r == '+' || r == '\uFF0B' }

// extractPossibleNumber drops what cannot begin a number, unwanted characters
// at the end, and a second number ("… x302/x2303").
func extractPossibleNumber(s string) string {
	start := strings.IndexFunc(s, func(r rune) bool { return isPlus(r) || unicode.IsDigit(r) })
	if start < 0 {
		return ""
	}
	s = s[start:]
	s = s[:unwantedEnd(s)]
	for i := range len(s) { // SECOND_NUMBER_START, [\\/] *x
		if s[i] == '/' || s[i] == '\\' {
			if strings.HasPrefix(strings.TrimLeft(s[i+1:], " "), "x") {
				return s[:i]
			}
		}
	}
	return s
}

// unwantedEnd is where UNWANTED_END_CHARS begins to match, or the end. Java
// reads [[\P{N}&&\P{L}]&&[^#]]+$ as "neither number nor letter nor #, up to the
// end"; Go, which has no intersections, as any character, "&&", another one but
// #, and ]s up to the end. It is Go's reading that decides here: a trailing "."
// or " " stays (viable numbers may end with them), a trailing "!" does not parse.
func unwantedEnd(s string) int {
	brackets := len(strings.TrimRight(s, "]"))
	if brackets == len(s) {
		return len(s)
	}
	for i := 1; ; i++ {
		next := strings.Index(s[i:], "&&")
		if next < 0 {
			return len(s)
		}
		i += next
		other, size := utf8.DecodeRuneInString(s[i+2:])
		if rest := i + 2 + size; size > 0 && other != '#' && rest >= brackets && rest < len(s) {
			_, size := utf8.DecodeLastRuneInString(s[:i])
			return i - size
		}
	}
}

// viable is isViablePhoneNumber of a number with a plus, VALID_PHONE_NUMBER_PATTERN:
// pluses, three digits with punctuation between, then punctuation, letters and
// digits, and at the end perhaps an extension.
func viable(s string) bool {
	body := strings.TrimLeftFunc(s, isPlus)
	if len(body) == len(s) {
		return false
	}
	digits, third := 0, 0
	for i, r := range body {
		switch classOf(r) {
		case classDigit:
			if digits++; digits == 3 {
				third = i
			}
		case classPunctuation:
		case classX:
		case classLetter:
			if digits < 3 {
				return false
			}
		default:
			if digits < 3 {
				return false
			}
			// Only an extension can hold it, and so begins no later; the three
			// digits stand before it. (All digits of an extension are at its end:
			// were the third among them, no other place would do either.)
			at := extensionStart(body)
			return third < at && at <= i
		}
	}
	return digits >= 3
}

// normalize drops the pluses and gives the digits: the keypad's for letters
// where there are at least three, ASCII for full-width and Arabic ones. Where
// digits of other scripts remain, as the library leaves them, ascii is false.
func (t *phoneText) normalize(s string) (digits string, ascii bool) {
	letters := 0
	for i := range len(s) {
		if isASCIILetter(rune(s[i])) {
			letters++
		}
	}
	vanity := letters >= 3 // VALID_ALPHA_PHONE_PATTERN
	out := t.digits[:0]
	ascii = true
	for _, r := range s {
		switch {
		case '0' <= r && r <= '9':
			out = append(out, byte(r))
		case vanity:
			// ALPHA_PHONE_MAPPINGS, by the upper case: the long s is an S.
			if r = unicode.ToUpper(r); 'A' <= r && r <= 'Z' {
				out = append(out, "22233344455566677778889999"[r-'A'])
			}
		case r < utf8.RuneSelf || !unicode.IsDigit(r):
		case 0xFF10 <= r && r <= 0xFF19:
			out = append(out, byte('0'+r-0xFF10))
		case 0x0660 <= r && r <= 0x0669:
			out = append(out, byte('0'+r-0x0660))
		case 0x06F0 <= r && r <= 0x06F9:
			out = append(out, byte('0'+r-0x06F0))
		default:
			out = utf8.AppendRune(out, r)
			ascii = false
		}
	}
	if len(out) == 0 {
		return "", true
	}
	return unsafe.String(&out[0], len(out)), ascii
}

// maxForeignDigits bounds, in bytes, what parseForeignDigits asks about: of a
// calling code (3), a national number (17) and the longest national prefix (17)
// nothing longer parses.
const maxForeignDigits = 64

// parseForeignDigits leaves digits of scripts that the library does not convert
// to the library, without what surrounded them: it reads them as it reads them.
func parseForeignDigits(digits string) (Phone, phoneVerdict) {
	if len(digits) > maxForeignDigits {
		return 0, phoneUnparsable // ErrNumTooLong
	}
	return libraryPhone("+"+digits, phonenumbers.UNKNOWN_REGION)
}
