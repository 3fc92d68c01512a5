package leadevents

import (
	"strconv"
	"strings"
	"unsafe"

	"github.com/nyaruka/phonenumbers"
)

// PhoneRegion reads phones as a region's people write them: "(415) 555-2671" in US.
type PhoneRegion struct {
	name string
	code string // its calling code
	// idd tells which numbers may begin with the region's prefix for calls abroad;
	// nil where the region is not the main one of its calling code.
	idd *digitDFA
}

// NewPhoneRegion is the region of an ISO 3166 code of two capitals; false where
// libphonenumber has no numbering plan for it.
func NewPhoneRegion(name string) (*PhoneRegion, bool) {
	if !phonenumbers.GetSupportedRegions()[name] {
		return nil, false
	}
	code := phonenumbers.GetCountryCodeForRegion(name)
	r := &PhoneRegion{name: name, code: strconv.Itoa(code)}
	if m := mainMetadata()[code]; m.GetId() == name {
		r.idd = newDigitDFA("^(?:" + m.GetInternationalPrefix() + ")")
	}
	return r, true
}

// Parse reads a phone by libphonenumber's parse with this default region, if the
// result is possible as a whole number. What begins with a plus or "00", and what
// is not possible here ("4915123456789" in US), is read as [ParsePhoneBytes] does.
//
// Digits with spaces, hyphens, points and brackets cost less than 0.1 µs, a microsecond
// with a national prefix, if the region is the main one of its calling code (US, not CA),
// anything else 6 to 10 µs.
func (r *PhoneRegion) Parse(b []byte) (Phone, bool) {
	s := strings.TrimSpace(unsafe.String(unsafe.SliceData(b), len(b)))
	if strings.HasPrefix(s, "+") || strings.HasPrefix(s, "00") {
		return ParsePhoneBytes(b)
	}
	p, v, known := r.parseDigits(s)
	if !known {
		// A copy: the library's regular expressions keep what they read.
		p, v = libraryPhone(strings.Clone(s), r.name)
	}
	if v == phonePossible {
		return p, true
	}
	return ParsePhoneBytes(b)
}

// parseDigits is parse of a text that is digits and a little between them. Parse
// takes its national number for one of the region unless it begins with the
// calling code or with the prefix for calls abroad; what it does then
// (national prefix, lengths, zeros) follows the metadata of the code's main
// region for a number with a plus as well, which is what decide is.
func (r *PhoneRegion) parseDigits(s string) (_ Phone, _ phoneVerdict, known bool) {
	var buf [32]byte
	if r.idd == nil || len(s) > len(buf)-len(r.code) {
		return 0, 0, false
	}
	n := copy(buf[:], r.code)
	for i := range len(s) {
		switch c := s[i]; {
		case c-'0' <= 9:
			buf[n] = c
			n++
		case c != ' ' && c != '-' && c != '.' && c != '(' && c != ')':
			return 0, 0, false
		}
	}
	digits := unsafe.String(&buf[0], n)
	national := digits[len(r.code):]
	// Shorter texts, and what ends in a bracket, have rules of their own.
	if len(national) < 5 || s[len(s)-1]-'0' > 9 || strings.HasPrefix(national, r.code) || r.idd.mayMatch(national) {
		return 0, 0, false
	}
	p, v := numberingPlans().decide(digits)
	return p, v, true
}
