package leadevents

import (
	"strconv"
)

// Phone is a phone number in E.164 without the plus, as a number: +15551234567
// is 15551234567. It fits: libphonenumber's longest possible number has 18
// digits with its calling code.
type Phone uint64

// String is the number in E.164 with the plus.
func (p Phone) String() string { return string(p.AppendTo(nil)) }

// AppendTo appends the number in E.164 with the plus.
func (p Phone) AppendTo(b []byte) []byte {
	return strconv.AppendUint(append(b, '+'), uint64(p), 10)
}
