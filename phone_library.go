package leadevents

import (
	"strconv"

	"github.com/nyaruka/phonenumbers"
)

// libraryPhone asks the library: Parse with a default region (UNKNOWN_REGION: without), then
// IsPossibleNumberWithReason, then Format. It is what phoneText.parse must
// equal, and what decides where that does not want to.
func libraryPhone(s, region string) (Phone, phoneVerdict) {
	number, err := phonenumbers.Parse(s, region)
	if err != nil {
		return 0, phoneUnparsable
	}
	if phonenumbers.IsPossibleNumberWithReason(number) != phonenumbers.IS_POSSIBLE {
		return 0, phoneImpossible
	}
	e164 := phonenumbers.Format(number, phonenumbers.E164)
	p, err := strconv.ParseUint(e164[1:], 10, 64)
	if err != nil {
		return 0, phoneImpossible // not a number of 20 digits: see maxE164Digits
	}
	return Phone(p), phonePossible
}
