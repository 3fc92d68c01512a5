package audience

import (
	"cmp"
	"math"
	"strconv"
	"strings"
)

// Number is the exact value of a JSON number: an integer from -2^63 to 2^64-1,
// or a float64 that is none of those. Each value has one representation, so
// numbers may be compared with == as well as with [Number.Compare].
type Number struct {
	float    float64 // where integer is false
	mag      uint64  // magnitude of an integer
	negative bool    // of an integer; never for 0
	integer  bool
}

const (
	two63 = 1 << 63
	two64 = 1 << 64
)

// ParseNumber reads a JSON number. The text must follow the JSON grammar. A
// number beyond the largest float64 becomes the largest one and inRange is
// false.
func ParseNumber(text string) (n Number, inRange bool) {
	if !strings.ContainsAny(text, ".eE") {
		digits, negative := strings.CutPrefix(text, "-")
		mag, err := strconv.ParseUint(digits, 10, 64)
		if err == nil && (!negative || mag <= two63) {
			return Number{mag: mag, negative: negative && mag != 0, integer: true}, true
		}
	}
	f, _ := strconv.ParseFloat(text, 64) // the only possible failure, a range error, gives ±Inf
	if math.IsInf(f, 0) {
		return NumberOf(math.Copysign(math.MaxFloat64, f)), false
	}
	return NumberOf(f), true
}

// NumberOf is the value of a finite float64.
func NumberOf(f float64) Number {
	if f == math.Trunc(f) && f >= -two63 && f < two64 {
		return Number{mag: uint64(math.Abs(f)), negative: f < 0, integer: true}
	}
	return Number{float: f}
}

// Integer tells whether the number is an integer from -2^63 to 2^64-1.
func (n Number) Integer() bool { return n.integer }

// Float is the float64 nearest to the number.
func (n Number) Float() float64 {
	switch {
	case !n.integer:
		return n.float
	case n.negative:
		return -float64(n.mag)
	default:
		return float64(n.mag)
	}
}

// String is the number in JSON, exact: an integer in decimal digits, another
// one in the fewest digits that read back as the same float64.
func (n Number) String() string {
	switch {
	case n.integer && n.negative:
		return "-" + strconv.FormatUint(n.mag, 10)
	case n.integer:
		return strconv.FormatUint(n.mag, 10)
	default:
		return strconv.FormatFloat(n.float, 'g', -1, 64)
	}
}

// Compare orders two numbers by their exact values: -1, 0 or 1.
func (n Number) Compare(m Number) int {
	switch {
	case !n.integer && !m.integer:
		return cmp.Compare(n.float, m.float)
	case n.integer && !m.integer:
		return compareIntFloat(n, m.float)
	case !n.integer:
		return -compareIntFloat(m, n.float)
	case n.negative != m.negative:
		if n.negative {
			return -1
		}
		return 1
	case n.negative:
		return cmp.Compare(m.mag, n.mag)
	default:
		return cmp.Compare(n.mag, m.mag)
	}
}

// compareIntFloat compares an integer with a float that is no such integer: it
// lies beyond the integers, or has a fraction and hence a magnitude below 2^53.
// In both cases rounding the integer to float64 cannot carry it to the other
// side, nor make the two equal, because rounding keeps order and 2^53, -2^63
// and 2^64 are float64 values themselves.
func compareIntFloat(n Number, f float64) int {
	switch {
	case f >= two64:
		return -1
	case f < -two63:
		return 1
	default:
		return cmp.Compare(n.Float(), f)
	}
}
