package leadevents

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

// oracle is the contract's sentence, word by word, on the library alone.
func oracle(s string) (Phone, phoneVerdict) {
	p, verdict := libraryPhone(s, phonenumbers.UNKNOWN_REGION)
	if verdict != phoneUnparsable {
		return p, verdict
	}
	second := strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(second, "00"); ok {
		second = "+" + rest
	} else if !strings.HasPrefix(second, "+") {
		second = "+" + second
	}
	if second == s {
		return p, verdict
	}
	return libraryPhone(second, phonenumbers.UNKNOWN_REGION)
}

// checkPhone compares ParsePhone's and ParsePhoneBytes' answer with the oracle's.
func checkPhone(t *testing.T, s string) (Phone, phoneVerdict) {
	t.Helper()
	want, wantVerdict := oracle(s)
	got, verdict := parsePhone(s)
	if got != want || verdict != wantVerdict {
		t.Fatalf("%q: got %d (%s), the library says %d (%s)", s, got, verdictNames[verdict], want, verdictNames[wantVerdict])
	}
	before := []byte(s)
	fromBytes, ok := ParsePhoneBytes(before)
	if fromBytes != want || ok != (wantVerdict == phonePossible) {
		t.Fatalf("ParsePhoneBytes(%q) = %d, %v; ParsePhone says %d", s, fromBytes, ok, want)
	}
	if string(before) != s {
		t.Fatalf("ParsePhoneBytes changed %q to %q", s, before)
	}
	return got, verdict
}

var verdictNames = map[phoneVerdict]string{
	phoneUnparsable: "unparsable", phoneImpossible: "impossible", phonePossible: "possible",
}

// largest30 are the countries whose canonical numbers must be fast.
var largest30 = []string{
	"US", "GB", "DE", "FR", "IT", "ES", "IN", "BR", "MX", "AR", "RU", "CN", "JP", "ID", "PH",
	"NG", "PK", "BD", "VN", "TR", "IR", "EG", "ZA", "CO", "PL", "UA", "KE", "SA", "AU", "CA",
}

// exampleNumbers makes n canonical numbers of a region: libphonenumber's
// examples for mobile and fixed lines, with the last digits (as many as
// subscriber numbers have everywhere, five) drawn anew.
func exampleNumbers(t testing.TB, region string, n int, r *rand.Rand) []string {
	t.Helper()
	var numbers []string
	for i := range n {
		kind := []phonenumbers.PhoneNumberType{phonenumbers.MOBILE, phonenumbers.FIXED_LINE}[i%2]
		example := phonenumbers.Format(phonenumbers.GetExampleNumberForType(region, kind), phonenumbers.E164)
		if len(example) < 9 {
			t.Fatalf("%s has no example number: %q", region, example)
		}
		numbers = append(numbers, example[:len(example)-5]+randomDigits(r, 5))
	}
	return numbers
}

func randomDigits(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + r.IntN(10))
	}
	return string(b)
}

// codesAndOthers is all calling codes, and starts that are none.
func codesAndOthers() []string {
	codes := []string{"0", "00", "999", "801", "210", "259", "383", "384", "99", "21"}
	for code := range phonenumbers.GetSupportedCallingCodes() {
		codes = append(codes, strconv.Itoa(code))
	}
	return codes
}
