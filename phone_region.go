package leadevents

import (
	"strings"
	"unsafe"

	"github.com/nyaruka/phonenumbers"
)

// ParsePhoneIn reads a phone as its region's people write it ("(555) 123-4567" in
// US): by libphonenumber's parse with that default region, if the result is
// possible as a whole number. What begins with a plus or "00", and what is not
// possible there ("4915123456789" in US), is read as [ParsePhoneBytes] does. The
// region is one that [KnownRegion] knows.
//
// It costs about 10 µs a number: keep what you have read.
func ParsePhoneIn(region string, b []byte) (Phone, bool) {
	s := unsafe.String(unsafe.SliceData(b), len(b))
	if trimmed := strings.TrimSpace(s); !strings.HasPrefix(trimmed, "+") && !strings.HasPrefix(trimmed, "00") {
		// A copy: the library's regular expressions keep what they read.
		if p, v := libraryPhone(strings.Clone(trimmed), region); v == phonePossible {
			return p, true
		}
	}
	return ParsePhoneBytes(b)
}

// KnownRegion tells whether libphonenumber has a numbering plan for the region, an
// ISO 3166 code of two capitals.
func KnownRegion(region string) bool {
	return phonenumbers.GetSupportedRegions()[region]
}
