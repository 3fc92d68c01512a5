package leadevents

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// benchPhones are canonical numbers of the 30 largest countries, in turn, and
// the same with groups.
func benchPhones(b *testing.B) (canonical, grouped [][]byte) {
	r := rand.New(rand.NewPCG(13, 14))
	for _, region := range largest30 {
		for _, number := range exampleNumbers(b, region, 30, r) {
			canonical = append(canonical, []byte(number))
			grouped = append(grouped, []byte(number[:4]+" ("+number[4:6]+") "+number[6:8]+"-"+number[8:]))
		}
	}
	r.Shuffle(len(canonical), func(i, j int) {
		canonical[i], canonical[j] = canonical[j], canonical[i]
		grouped[i], grouped[j] = grouped[j], grouped[i]
	})
	return canonical, grouped
}

func BenchmarkParsePhone(b *testing.B) {
	numberingPlans()
	canonical, grouped := benchPhones(b)
	run := func(name string, texts [][]byte) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				ParsePhoneBytes(texts[i])
				if i++; i == len(texts) {
					i = 0
				}
			}
		})
	}
	one := func(s string) [][]byte { return [][]byte{[]byte(s)} }
	run("canonical", canonical)
	run("grouped", grouped)
	run("no plus", one("15551234567"))
	run("national prefix", one("+44 (0) 20 7946 0958"))
	run("extension", one("+1 555 123 4567 ext. 89"))
	run("vanity", one("+1 800 FLOWERS"))
	b.Run("canonical, library", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			oracle(string(canonical[i]))
			if i++; i == len(canonical) {
				i = 0
			}
		}
	})
}

// hostilePhones are the texts that cost the library most: about 250 bytes, and
// a second try.
var hostilePhones = map[string]string{
	"letters":          strings.Repeat("a", 250),
	"digits":           "+" + strings.Repeat("1", 249),
	"prefix":           "+1" + strings.Repeat("1", 27),
	"tildes":           " +1" + strings.Repeat("~", 235) + "55512345;7",
	"commas":           " +15551234567" + strings.Repeat(",", 230) + "5",
	"separators":       " +15551234567" + strings.Repeat(" ,", 115) + "5!",
	"words":            " +1555" + strings.Repeat("ext", 79) + "5;",
	"late":             " +" + strings.Repeat("~1", 120) + "!",
	"slashes":          " +1" + strings.Repeat("/ ", 120) + "!",
	"context":          " 1" + strings.Repeat("~", 80) + ";phone-context=" + strings.Repeat("a-", 70) + "a",
	"brackets":         " +1" + strings.Repeat("&&", 60) + strings.Repeat("]", 120),
	"foreign digits":   " +1" + strings.Repeat("१", 80),
	"foreign digits 2": " +1" + strings.Repeat("~", 170) + strings.Repeat("१", 15),
	"binary":           strings.Repeat("\xff", 250),
}

func BenchmarkParsePhoneHostile(b *testing.B) {
	for name, text := range hostilePhones {
		s := []byte(text)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParsePhoneBytes(s)
			}
		})
		b.Run(name+", library", func(b *testing.B) {
			for b.Loop() {
				oracle(text)
			}
		})
	}
}

func TestHostilePhonesReadAsTheLibraryReadsThem(t *testing.T) {
	for _, text := range hostilePhones {
		checkPhone(t, text)
	}
}

// BenchmarkNumberingPlans is what the first phone of a process costs.
func BenchmarkNumberingPlans(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		buildPlans()
	}
}

// BenchmarkNationalExpressions is what compiling strip's expressions lazily
// saves at start.
func BenchmarkNationalExpressions(b *testing.B) {
	for b.Loop() {
		for _, p := range buildPlans() {
			if p != nil && p.prefix != nil {
				p.prefixExpr()
				p.nationalExpr()
			}
		}
	}
}
