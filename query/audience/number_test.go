package audience

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/quick"
)

// exact is what a JSON number is by the documentation, computed with big.Float:
// an integer of up to 64 bits itself, every other the nearest float64.
func exact(t *testing.T, text string) *big.Float {
	t.Helper()
	if !strings.ContainsAny(text, ".eE") {
		i, ok := new(big.Int).SetString(text, 10)
		if !ok {
			t.Fatalf("%s is no integer", text)
		}
		if i.IsInt64() || i.IsUint64() {
			return new(big.Float).SetPrec(200).SetInt(i)
		}
	}
	f, _, err := big.ParseFloat(text, 10, 2000, big.ToNearestEven)
	if err != nil {
		t.Fatal(err)
	}
	nearest, _ := f.Float64()
	nearest = max(min(nearest, math.MaxFloat64), -math.MaxFloat64)
	return new(big.Float).SetPrec(200).SetFloat64(nearest)
}

var numberTexts = []string{
	"0", "-0", "0.0", "-0.0e5", "1", "-1", "5", "5.0", "5e0", "0.5e1", "0.1", "1e-1", "-0.1", "0.30000000000000004", "0.3", "4.9e-324", "1e-400", "-1e-400",
	"9007199254740991", "9007199254740992", "9007199254740993", "9007199254740993.0", "9007199254740994", "-9007199254740993", "4503599627370495.5",
	"9223372036854774784", "9223372036854775807", "9223372036854775808", "9223372036854775807.0", "9223372036854775808.0", "-9223372036854775807", "-9223372036854775808", "-9223372036854775809", "-9223372036854777856",
	"18446744073709549568", "18446744073709551615", "18446744073709551616", "18446744073709551615.0", "18446744073709551617", "1e19", "1e20", "1e21", "123456789012345678901234567890", "-1e30",
	"1e308", "1.7976931348623157e308", "1e309", "-1e309", "1e999", "2e999",
}

func TestNumbersCompareByExactValue(t *testing.T) {
	for _, a := range numberTexts {
		for _, b := range numberTexts {
			m, _ := ParseNumber(a)
			n, _ := ParseNumber(b)
			want := exact(t, a).Cmp(exact(t, b))
			if got := m.Compare(n); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
			if (m == n) != (want == 0) {
				t.Errorf("%s == %s: %t", a, b, m == n)
			}
		}
	}
}

func TestNumberIsWrittenExactly(t *testing.T) {
	for _, text := range numberTexts {
		n, inRange := ParseNumber(text)
		if want := !strings.HasSuffix(text, "309") && !strings.HasSuffix(text, "999"); inRange != want {
			t.Errorf("%s in range: %t", text, inRange)
		}
		again, _ := ParseNumber(n.String())
		if again != n {
			t.Errorf("%s is written %s, which is %s", text, n, again)
		}
		if f, _ := exact(t, text).Float64(); n.Float() != f {
			t.Errorf("%s as float64 is %g, want %g", text, n.Float(), f)
		}
		if n.Integer() != (exact(t, text).IsInt() && n.Float() >= -two63 && (n.Float() < two64 || text == "18446744073709551615")) {
			t.Errorf("%s is an integer: %t", text, n.Integer())
		}
	}
	for text, want := range map[string]string{"5.0": "5", "-0.0": "0", "1e2": "100", "9223372036854775808.0": "9223372036854775808", "1E400": "1.7976931348623157e+308", "1e-7": "1e-07"} {
		if n, _ := ParseNumber(text); n.String() != want {
			t.Errorf("%s is written %s, want %s", text, n, want)
		}
	}
}

// A float64 has the value it has, and the order of numbers is theirs.
func TestNumberOfEveryFloat(t *testing.T) {
	property := func(bits uint64, near int64) bool {
		a := math.Float64frombits(bits)
		b := math.Nextafter(a, float64(near))
		if rand.IntN(2) == 0 {
			b = float64(near)
		}
		if math.IsNaN(a) || math.IsInf(a, 0) || math.IsNaN(b) || math.IsInf(b, 0) {
			return true
		}
		m, n := NumberOf(a), NumberOf(b)
		read, _ := ParseNumber(m.String())
		return m.Float() == a && n.Float() == b && read == m &&
			m.Compare(n) == big.NewFloat(a).Cmp(big.NewFloat(b)) && n.Compare(m) == -m.Compare(n) && (m == n) == (a == b)
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 20_000}); err != nil {
		t.Error(err)
	}
}
