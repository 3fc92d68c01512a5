package leadevents

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/nyaruka/phonenumbers"
)

// maxNationalDigits is libphonenumber's MAX_LENGTH_FOR_NSN, minNationalDigits
// its MIN_LENGTH_FOR_NSN.
const (
	maxNationalDigits = phonenumbers.MAX_LENGTH_FOR_NSN
	minNationalDigits = phonenumbers.MIN_LENGTH_FOR_NSN
)

// plan is what deciding on a number needs of its calling code's numbering plan:
// the metadata of the code's main region, or of the non-geographical entity.
type plan struct {
	codeLen  int    // digits of the calling code
	possible uint32 // bit n: IS_POSSIBLE for national numbers of n digits
	tooLong  uint32 // bit n: TOO_LONG

	// prefix tells which national numbers nationalPrefixForParsing may change;
	// nil where there is none.
	prefix    *digitDFA
	transform string // nationalPrefixTransformRule
	// The expressions of phonenumbers' maybeStripNationalPrefixAndCarrierCode,
	// compiled when a number first needs them (all of them together would cost 5 ms at start).
	prefixExpr, nationalExpr func() *regexp.Regexp
}

// plansByStart finds the plan by the first three digits of an E.164 number.
// Calling codes are prefix-free, and extractCountryCode takes the shortest.
type plansByStart [1000]*plan

// numberingPlans is built by the first phone, in 2 to 4 ms.
var numberingPlans = sync.OnceValue(buildPlans)

func buildPlans() *plansByStart {
	meta := mainMetadata()
	dfas := map[string]*digitDFA{} // most share "0"
	plans := new(plansByStart)
	for code := range phonenumbers.GetSupportedCallingCodes() {
		p := newPlan(code, meta[code], dfas)
		// The starts that a code of one digit takes are 100, of three one.
		width := int(math.Pow10(3 - p.codeLen))
		for i := range width {
			at := &plans[code*width+i]
			if *at == nil || (*at).codeLen > p.codeLen {
				*at = p
			}
		}
	}
	return plans
}

// mainMetadata is the metadata that Parse takes for each calling code: that of
// its first region, or of the non-geographical entity.
func mainMetadata() map[int]*phonenumbers.PhoneMetadata {
	// The library has read its collection at start; it cannot fail any more.
	all, err := phonenumbers.MetadataCollection()
	if err != nil {
		panic(err)
	}
	main := map[int]*phonenumbers.PhoneMetadata{}
	for _, m := range all.GetMetadata() {
		code := int(m.GetCountryCode())
		if phonenumbers.GetRegionCodeForCountryCode(code) == m.GetId() {
			main[code] = m
		}
	}
	return main
}

func newPlan(code int, m *phonenumbers.PhoneMetadata, dfas map[string]*digitDFA) *plan {
	p := &plan{codeLen: len(strconv.Itoa(code)), transform: m.GetNationalPrefixTransformRule()}

	// The library itself says which lengths are possible: 1, 10, 100, …
	code32, national := int32(code), uint64(10)
	number := &phonenumbers.PhoneNumber{CountryCode: &code32, NationalNumber: &national}
	for n := minNationalDigits; n <= maxNationalDigits; n++ {
		switch phonenumbers.IsPossibleNumberWithReason(number) {
		case phonenumbers.IS_POSSIBLE:
			p.possible |= 1 << n // with the code at most maxE164Digits: a test holds it
		case phonenumbers.TOO_LONG:
			p.tooLong |= 1 << n
		}
		national *= 10
	}

	if prefix := m.GetNationalPrefixForParsing(); prefix != "" {
		expr := "^(?:" + prefix + ")"
		if dfas[prefix] == nil {
			dfas[prefix] = newDigitDFA(expr)
		}
		p.prefix = dfas[prefix]
		p.prefixExpr = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
		rule := "^(?:" + m.GetGeneralDesc().GetNationalNumberPattern() + ")$"
		p.nationalExpr = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(rule) })
	}
	return p
}

// decide is parse's second half, maybeExtractCountryCode and what follows it,
// with isPossibleNumberWithReason and format: digits are a number's E.164 digits
// as its sender wrote them, ASCII only, without the plus.
//
// A national number of digits is what format writes: its leading zeros are kept
// as Italian ones, so without a national prefix E.164 is the digits as they are.
func (plans *plansByStart) decide(digits string) (Phone, phoneVerdict) {
	if len(digits) <= 2 {
		return 0, phoneUnparsable // ErrTooShortAfterIDD
	}
	start := int(digits[0]-'0')*100 + int(digits[1]-'0')*10 + int(digits[2]-'0')
	p := plans[start]
	if p == nil {
		return 0, phoneUnparsable // ErrInvalidCountryCode
	}
	national := digits[p.codeLen:]
	if len(national) < minNationalDigits {
		return 0, phoneUnparsable // ErrTooShortNSN
	}
	if p.prefix != nil && p.prefix.mayMatch(national) {
		// Of a longer one more than 17 digits are left in any case. (Also the
		// bound on what the expressions see: 17 + 13 digits.)
		if len(national) > maxNationalDigits+p.prefix.longest {
			return 0, phoneUnparsable // ErrNumTooLong
		}
		return p.accept(digits[:p.codeLen] + p.strip(national))
	}
	return p.accept(digits)
}

// accept judges the length of a number whose national prefix is gone.
func (p *plan) accept(digits string) (Phone, phoneVerdict) {
	n := len(digits) - p.codeLen
	if n > maxNationalDigits {
		return 0, phoneUnparsable // ErrNumTooLong
	}
	if p.possible>>n&1 == 0 {
		return 0, phoneImpossible
	}
	var v Phone // at most 19 digits: see possible
	for i := range len(digits) {
		v = v*10 + Phone(digits[i]-'0')
	}
	return v, phonePossible
}

// strip is maybeStripNationalPrefixAndCarrierCode, and the condition of parse on
// its result: without the prefix the number is of a possible length, or longer
// than any. It allocates, and costs about a microsecond.
func (p *plan) strip(digits string) string {
	national := strings.Clone(digits) // regexp keeps what it reads: not the caller's buffer
	expr, rule := p.prefixExpr(), p.nationalExpr()
	groups := expr.FindStringSubmatchIndex(national)
	if groups == nil {
		return national
	}
	var stripped string
	// The index of the last group; a group that took no part has -1 there.
	if last := len(groups) - 2; p.transform == "" || groups[last] < 0 {
		stripped = national[groups[1]:]
	} else {
		stripped = expr.ReplaceAllString(national, p.transform)
	}
	if rule.MatchString(national) && !rule.MatchString(stripped) {
		return national
	}
	if n := len(stripped); n > maxNationalDigits || (p.possible|p.tooLong)>>n&1 == 1 {
		return stripped
	}
	return national
}
