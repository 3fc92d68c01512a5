package leadevents

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// phoneCases are the contract's examples and its edges; want 0 is none.
var phoneCases = []struct {
	claim, text string
	want        Phone
	verdict     phoneVerdict
}{
	{"canonical", "+4915123456789", 4915123456789, phonePossible},
	{"possible is enough, valid is not asked", "+15551234567", 15551234567, phonePossible},
	{"a possible length of a non-geographical code", "+80012345678", 80012345678, phonePossible},
	{"the longest numbers fit", "+6212345678901234567", 6212345678901234567, phonePossible},
	{"an Italian leading zero is kept", "+390612345678", 390612345678, phonePossible},
	{"several leading zeros are kept", "+39000612345", 39000612345, phonePossible},
	{"a national prefix is removed", "+44 (0) 20 7946 0958", 442079460958, phonePossible},
	{"a national prefix is removed from canonical text", "+4402079460958", 442079460958, phonePossible},
	{"Argentina's mobile prefix becomes its 9", "+54111523456789", 5491123456789, phonePossible},
	{"Argentina's ordinary numbers are left alone", "+541123456789", 541123456789, phonePossible},
	{"spaces inside and around", " +1 555 123 4567 ", 15551234567, phonePossible},
	{"Unicode white space around", "\u2003\u00a0+15551234567\u2028\n", 15551234567, phonePossible},
	{"without a plus", "15551234567", 15551234567, phonePossible},
	{"without a plus, grouped", "1 (555) 123-4567", 15551234567, phonePossible},
	{"00 for the plus", "0044 20 7946 0958", 442079460958, phonePossible},
	{"00 for the plus, with space around", "\t004420 7946 0958\r\n", 442079460958, phonePossible},
	{"two pluses", "++15551234567", 15551234567, phonePossible},
	{"a full-width plus and digits", "＋１５５５１２３４５６７", 15551234567, phonePossible},
	{"Arabic digits", "+١٥٥٥١٢٣٤٥٦٧", 15551234567, phonePossible},
	{"letters of the keypad", "+1 800 FLOWERS", 18003569377, phonePossible},
	{"an extension is dropped", "+1 555 123 4567 ext. 89", 15551234567, phonePossible},
	{"an RFC 3966 extension is dropped", "tel:+1-555-123-4567;ext=89", 15551234567, phonePossible},
	{"an RFC 3966 context", "tel:555-123-4567;phone-context=+1", 15551234567, phonePossible},
	{"an RFC 3966 subaddress", "tel:+1-555-123-4567;isub=12345", 15551234567, phonePossible},
	{"something in front", "Mobile: +1 555 123 4567", 15551234567, phonePossible},
	{"up to 250 bytes", "+1" + strings.Repeat("-", 238) + "5551234567", 15551234567, phonePossible},
	{"the second try's plus counts too", "1" + strings.Repeat("-", 238) + "5551234567", 15551234567, phonePossible},
	{"surrounding space does not count", strings.Repeat(" ", 1000) + "+15551234567", 15551234567, phonePossible},

	{"empty", "", 0, phoneUnparsable},
	{"a plus", "+", 0, phoneUnparsable},
	{"two digits", "+44", 0, phoneUnparsable},
	{"white space", " \t\n", 0, phoneUnparsable},
	{"letters", "not a phone", 0, phoneUnparsable},
	{"no such calling code", "+2101234567890", 0, phoneUnparsable},
	{"a calling code does not begin with 0", "+0441234567890", 0, phoneUnparsable},
	{"000 is no 00", "00044 20 7946 0958", 0, phoneUnparsable},
	{"local only", "+15551234", 0, phoneImpossible},
	{"local only, without a plus", "15551234", 0, phoneImpossible},
	{"too short", "+1555123456", 0, phoneImpossible},
	{"too long", "+155512345678", 0, phoneImpossible},
	{"longer than any number", "+1555123456789012345", 0, phoneUnparsable},
	{"what parses but is not possible is not tried again", " +1555", 0, phoneImpossible},
	{"a trailing mark", "+15551234567!", 0, phoneUnparsable},
	{"two numbers", "+15551234567, +15551234568", 0, phoneUnparsable},
	{"over 250 bytes", "+1" + strings.Repeat("-", 239) + "5551234567", 0, phoneUnparsable},
	{"over 250 bytes with the second try's plus", "1" + strings.Repeat("-", 239) + "5551234567", 0, phoneUnparsable},
	{"over 250 digits", "+" + strings.Repeat("1", 300), 0, phoneUnparsable},
	{"not UTF-8", "+1555\xff1234567", 0, phoneUnparsable},
	{"a NUL", "+15551234567\x00", 0, phoneUnparsable},
	{"digits the library does not convert", "+१५५५१२३४५६७", 0, phoneUnparsable},
	{"an extension's digits are not the number's", "+1 555#", 0, phoneUnparsable},
	{"an extension after three digits", "+1 55 555#", 0, phoneImpossible},
	{"a bad phone context", "tel:+15551234567;phone-context=", 0, phoneUnparsable},
}

func TestParsePhone(t *testing.T) {
	for _, c := range phoneCases {
		t.Run(c.claim, func(t *testing.T) {
			got, verdict := checkPhone(t, c.text)
			if got != c.want || verdict != c.verdict {
				t.Errorf("%q: got %d (%s), want %d (%s)", c.text, got, verdictNames[verdict], c.want, verdictNames[c.verdict])
			}
		})
	}
}

func TestParsePhoneErrorsTellTheReasonAndNotThePhone(t *testing.T) {
	for text, want := range map[string]error{"+155512345": errPhoneImpossible, "hello 5": errPhoneUnparsable} {
		p, err := ParsePhone(text)
		if p != 0 || !errors.Is(err, want) || KindOf(err) != InvalidRequest {
			t.Errorf("ParsePhone(%q) = %d, %v, want %v", text, p, err, want)
		}
		if strings.Contains(err.Error(), text) {
			t.Errorf("the error holds the phone: %v", err)
		}
	}
	if p, err := ParsePhone("+15551234567"); p != 15551234567 || err != nil {
		t.Errorf("ParsePhone of a possible number = %d, %v", p, err)
	}
}

func TestSpellingsOfOnePhoneAreOnePhone(t *testing.T) {
	const want = "+442079460958"
	for _, spelling := range []string{
		"+442079460958", "442079460958", "00442079460958", "+44 20 7946 0958", "+44 (0)20 7946 0958", "+44.20.7946.0958",
		"tel:+44-20-7946-0958", "tel:20-7946-0958;phone-context=+44", "  0044 (20) 7946-0958 ", "+44 20 7946 0958 x12", "＋４４２０７９４６０９５８",
	} {
		p, err := ParsePhone(spelling)
		if err != nil || p.String() != want {
			t.Errorf("%q is %v (%v), want %s", spelling, p, err, want)
		}
		// What the API writes is read back as the same phone.
		if again, err := ParsePhone(p.String()); again != p || err != nil {
			t.Errorf("%v is read back as %v (%v)", p, again, err)
		}
	}
}

// TestCanonicalPhonesOfTheLargestCountriesAreFast: no expression is asked about
// at least 95 of 100, and none of them allocates.
func TestCanonicalPhonesOfTheLargestCountriesAreFast(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	plans := numberingPlans()
	all, fast := 0, 0
	for _, region := range largest30 {
		n, here := 0, 0
		for _, number := range exampleNumbers(t, region, 200, r) {
			if _, verdict := checkPhone(t, number); verdict != phonePossible {
				t.Fatalf("%s: %s is %s", region, number, verdictNames[verdict])
			}
			n++
			p := planOf(plans, number[1:])
			if p.prefix == nil || !p.prefix.mayMatch(number[1+p.codeLen:]) {
				here++
			}
			b := []byte(number)
			if allocs := testing.AllocsPerRun(1, func() { ParsePhoneBytes(b) }); allocs != 0 && here == n {
				t.Errorf("%s: %s allocates %v times", region, number, allocs)
			}
		}
		if here*100 < n*95 {
			t.Errorf("%s: %d of %d canonical numbers are fast, 95 %% were expected", region, here, n)
		}
		all, fast = all+n, fast+here
	}
	t.Logf("%d of %d canonical numbers of %d countries are fast (%.2f %%)", fast, all, len(largest30), 100*float64(fast)/float64(all))
}

func TestGroupedPhonesAreReadWithoutAllocating(t *testing.T) {
	for _, text := range []string{"+1 (555) 123-4567", " 0044 20 7946 0958", "15551234567", "tel:+1-555-123-4567;ext=8", "no phone at all"} {
		b := []byte(text)
		if allocs := testing.AllocsPerRun(100, func() { ParsePhoneBytes(b) }); allocs != 0 {
			t.Errorf("%q allocates %v times", text, allocs)
		}
	}
}
