package leadevents

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

// startsPerCode is how many of the 10,000 four-digit starts of national numbers
// a run compares for each calling code; their national prefixes are compared for
// all of them by TestNationalPrefixAutomataMissNothing. (All of them against
// Parse take a minute of two cores: done whenever the library changes.)
const startsPerCode = 100

func TestPhonesOfAllCallingCodesAndLengthsAreTheLibrarys(t *testing.T) {
	for _, code := range codesAndOthers() {
		t.Run("+"+code, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, hashOf(code)))
			for n := 1; n <= 18; n++ {
				for range 3 {
					checkPhone(t, "+"+code+randomDigits(r, n))
					checkPhone(t, dirty(code+randomDigits(r, n), r))
				}
				// Where national prefixes are stripped, and next to it.
				checkPhone(t, "+"+code+"0"+randomDigits(r, n))
			}
			for start := r.IntN(10_000 / startsPerCode); start < 10_000; start += 10_000 / startsPerCode {
				checkPhone(t, fmt.Sprintf("+%s%04d%s", code, start, randomDigits(r, r.IntN(15))))
			}
		})
	}
}

func hashOf(s string) (h uint64) {
	for _, c := range s {
		h = h*31 + uint64(c)
	}
	return h
}

func planOf(plans *plansByStart, code string) *plan {
	var at int
	_, _ = fmt.Sscan((code + "00")[:3], &at)
	return plans[at]
}

// dirty writes digits as people and exports do.
func dirty(digits string, r *rand.Rand) string {
	grouped := func(separators ...string) string {
		var b strings.Builder
		for i, d := range digits {
			if i > 0 && r.IntN(3) == 0 {
				b.WriteString(separators[r.IntN(len(separators))])
			}
			b.WriteRune(d)
		}
		return b.String()
	}
	switch r.IntN(16) {
	case 0:
		return "+" + grouped(" ")
	case 1:
		return "+" + grouped("-", ".", " ", "/")
	case 2:
		return "+" + grouped(" (", ") ", "[", "]", "~")
	case 3:
		return " \t+" + grouped(" ") + "\u00a0\n"
	case 4:
		return digits
	case 5:
		return "00" + grouped(" ", "-")
	case 6:
		return "tel:+" + grouped("-")
	case 7:
		return "tel:" + grouped("-") + ";phone-context=+" + digits[:1]
	case 8:
		return "+" + grouped("-") + ";ext=" + randomDigits(r, 1+r.IntN(21))
	case 9:
		return "+" + digits + [...]string{" x", " ext. ", ",", ",,", ";", " #", "~", " anexo ", " доб. "}[r.IntN(9)] + randomDigits(r, 1+r.IntN(12))
	case 10:
		return "＋" + toScript(digits, 0xFF10)
	case 11:
		return "+" + toScript(digits, [...]rune{0x0660, 0x06F0, 0x0966}[r.IntN(3)])
	case 12:
		return "+" + digits[:len(digits)/2] + "FLOWERS"[:1+r.IntN(7)] + digits[len(digits)/2:]
	case 13:
		return " 00" + digits + " "
	case 14:
		return "++" + grouped("*", "x", "\u2010", "\u200b")
	default:
		return "+" + digits + [...]string{".", "!", "#", " ", "&&x]", "/x1", ";isub=12"}[r.IntN(7)]
	}
}

func toScript(digits string, zero rune) string {
	return strings.Map(func(d rune) rune { return zero + d - '0' }, digits)
}

func TestNationalPrefixAutomataMissNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for code, m := range mainMetadata() {
		prefix := m.GetNationalPrefixForParsing()
		plan := planOf(numberingPlans(), fmt.Sprint(code))
		if (prefix == "") != (plan.prefix == nil) {
			t.Fatalf("+%d: the plan has a prefix: %v; the metadata: %q", code, plan.prefix != nil, prefix)
		}
		if prefix == "" {
			continue
		}
		expr := regexp.MustCompile("^(?:" + prefix + ")")
		asked, matched := 0, 0
		for start := range 10_000 {
			national := fmt.Sprintf("%04d", start) + randomDigits(r, r.IntN(15))
			groups := expr.FindStringSubmatchIndex(national)
			matches := groups != nil && groups[1] > 0
			may := plan.prefix.mayMatch(national)
			if matches && !may {
				t.Fatalf("+%d: the automaton says that %q cannot match %q", code, prefix, national)
			}
			if matches {
				matched++
			}
			if may {
				asked++
			}
			// What mayMatch leaves out for matching nothing must change nothing.
			if last := len(groups) - 2; groups != nil && !matches && plan.transform != "" && groups[last] >= 0 {
				t.Fatalf("+%d: %q transforms %q by matching nothing", code, prefix, national)
			}
			if matches && groups[1] > plan.prefix.longest {
				t.Fatalf("+%d: %q matched %d digits, %d at most were expected", code, prefix, groups[1], plan.prefix.longest)
			}
		}
		if asked != matched {
			t.Errorf("+%d: the automaton lets through %d of 10,000 numbers, %q matches %d", code, asked, prefix, matched)
		}
		if n := 3 + maxNationalDigits + plan.prefix.longest; n > maxForeignDigits {
			t.Errorf("+%d: numbers of %d digits may parse, but those above %d are not asked about", code, n, maxForeignDigits)
		}
	}
}

func TestNoPossibleNumberIsLongerThanAPhoneHolds(t *testing.T) {
	for code := range phonenumbers.GetSupportedCallingCodes() {
		lengths := mainMetadata()[code].GetGeneralDesc().GetPossibleLength()
		if len(lengths) == 0 {
			t.Fatalf("+%d has no possible lengths", code)
		}
		for _, n := range lengths {
			if e164 := len(fmt.Sprint(code)) + int(n); e164 > maxE164Digits {
				t.Errorf("+%d has numbers of %d digits, a Phone holds %d", code, e164, maxE164Digits)
			}
			if planOf(numberingPlans(), fmt.Sprint(code)).possible>>n&1 == 0 {
				t.Errorf("+%d: %d digits are not possible in the plan", code, n)
			}
		}
	}
}

func TestCharactersAreSortedAsTheLibraryDoes(t *testing.T) {
	punctuation := regexp.MustCompile("(?i)^[" + phonenumbers.VALID_PUNCTUATION + "*]$")
	letter := regexp.MustCompile("(?i)^[" + phonenumbers.VALID_ALPHA + "]$")
	digit := regexp.MustCompile(`^\p{Nd}$`)
	var text phoneText
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		s := string(r)
		want := classOther
		switch {
		case digit.MatchString(s):
			want = classDigit
		case punctuation.MatchString(s) && letter.MatchString(s):
			want = classX
		case punctuation.MatchString(s):
			want = classPunctuation
		case letter.MatchString(s):
			want = classLetter
		}
		if got := classOf(r); got != want {
			t.Errorf("%U is of class %d, the library's expressions say %d", r, got, want)
		}
		if want == classDigit {
			if got, _ := text.normalize(s); got != phonenumbers.NormalizeDigitsOnly(s) {
				t.Errorf("%U is normalized to %q, by the library to %q", r, got, phonenumbers.NormalizeDigitsOnly(s))
			}
		}
	}
}

// textPieces are what texts around phones are made of: everything that one of
// the library's expressions treats in its own way.
var textPieces = []string{
	"+", "＋", "1", "44", "555", "0", "00", "1234567", "55512345", "5551234567", "१", "٣", "９", "98765432109876543210",
	" ", "-", "(", ")", ".", "/", "\\", "[", "]", "~", "*", "x", "X", "#", ",", ",,", ";", ":", "\t", "\n", "\u00a0", "．", "\u2010",
	"ext", "EXT.", "extn", "xtn", "extension", "extensión", "extensio\u0301n", "xtensi", "anexo", "доб", "ДОБ", "int", "ｉｎｔ", "ｅｘｔｎ", "ｘ", "＃", "～",
	"e", "n", "a", "abc", "ſ", "\u212a", "É", "\xff", "\xe2\x80", "&&", "&", "!", "é",
	";ext=", ";EXT=", ";isub=", "tel:", ";phone-context=", ";phone-context=+1", ";phone-context=example.com", "=",
}

func randomText(r *rand.Rand) string {
	var b strings.Builder
	if r.IntN(2) == 0 {
		b.WriteString([...]string{"+1", "+44", "+39", "+54"}[r.IntN(4)] + randomDigits(r, r.IntN(11)))
	}
	for range r.IntN(9) {
		b.WriteString(textPieces[r.IntN(len(textPieces))])
	}
	if r.IntN(2) == 0 { // the end decides what is an extension
		b.WriteString(randomDigits(r, r.IntN(23)))
		b.WriteString([...]string{"", "", "#", "]"}[r.IntN(4)])
	}
	return b.String()
}

func TestPhoneTextMatchesTheLibrarysExpressions(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 30_000 {
		s := randomText(r)
		wantExt := -1
		if at := phonenumbers.EXTN_PATTERN.FindStringIndex(s); at != nil {
			wantExt = at[0]
		}
		if got := extensionStart(s); got != wantExt {
			t.Fatalf("the extension of %q begins at %d, EXTN_PATTERN says %d", s, got, wantExt)
		}
		if !strings.HasPrefix(s, "+") {
			s = "+" + s
		}
		if got, want := viable(s), phonenumbers.VALID_PHONE_NUMBER_PATTERN.MatchString(s); got != want {
			t.Fatalf("%q is viable: %v, VALID_PHONE_NUMBER_PATTERN says %v", s, got, want)
		}
		wantEnd := len(s)
		if at := phonenumbers.UNWANTED_END_CHAR_PATTERN.FindStringIndex(s); at != nil {
			wantEnd = at[0]
		}
		if got := unwantedEnd(s); got != wantEnd {
			t.Fatalf("the unwanted end of %q begins at %d, the library says %d", s, got, wantEnd)
		}
		want := phonenumbers.RFC3966_GLOBAL_NUMBER_DIGITS_PATTERN.MatchString(s) || phonenumbers.RFC3966_DOMAINNAME_PATTERN.MatchString(s)
		if got := validContext(s); got != want {
			t.Fatalf("%q is a phone context: %v, the library says %v", s, got, want)
		}
	}
}

func TestTextsAroundPhonesReadAsTheLibraryReadsThem(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	seen := map[phoneVerdict]int{}
	for range 20_000 {
		_, verdict := checkPhone(t, randomText(r))
		seen[verdict]++
	}
	for verdict, name := range verdictNames {
		if seen[verdict] < 300 {
			t.Errorf("only %d of the texts are %s: they tell little", seen[verdict], name)
		}
	}
}
