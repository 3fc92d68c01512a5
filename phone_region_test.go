package leadevents

import (
	"math/rand/v2"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

func TestPhoneRegion(t *testing.T) {
	for _, c := range []struct {
		region, text string
		want         Phone // 0: none
	}{
		{"US", "(415) 555-2671", 14155552671},
		{"US", "415.555.2671", 14155552671},
		{"US", "1 415 555 2671", 14155552671},
		{"US", " 4155552671 ", 14155552671},
		{"US", "+49 151 23456789", 4915123456789},
		{"US", "0049 151 23456789", 4915123456789},
		{"US", "011 49 151 23456789", 4915123456789},
		{"US", "4915123456789", 4915123456789}, // too long there
		{"US", "555-2671", 0},                  // local only
		{"US", "", 0},
		{"US", "n/a", 0},
		{"CA", "(604) 555-2671", 16045552671},
		{"DE", "0151 23456789", 4915123456789},
		{"DE", "015123456789", 4915123456789},
		{"GB", "020 7946 0000", 442079460000},
		{"IT", "06 698 12345", 390669812345}, // keeps its zero
	} {
		region, ok := NewPhoneRegion(c.region)
		if !ok {
			t.Fatal(c.region)
		}
		p, ok := region.Parse([]byte(c.text))
		if ok != (c.want != 0) || p != c.want {
			t.Errorf("%s, %q: %d, %v; want %d", c.region, c.text, p, ok, c.want)
		}
	}
	for _, name := range []string{"us", "XX", "", "ZZ", "001"} {
		if _, ok := NewPhoneRegion(name); ok {
			t.Errorf("%q is a region", name)
		}
	}
}

// What is read without the library is read as the library does, in every region.
func TestPhoneRegionIsTheLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	fast := 0
	for name := range phonenumbers.GetSupportedRegions() {
		region, ok := NewPhoneRegion(name)
		if !ok {
			t.Fatal(name)
		}
		example := phonenumbers.GetNationalSignificantNumber(phonenumbers.GetExampleNumber(name))
		for i := range 120 {
			text := randomNational(r, example, i)
			p, v, known := region.parseDigits(text)
			if !known {
				continue
			}
			fast++
			want, wantV := libraryPhone(text, name)
			if (v == phonePossible) != (wantV == phonePossible) || v == phonePossible && p != want {
				t.Errorf("%s, %q: %d, %d; the library says %d, %d", name, text, p, v, want, wantV)
			}
		}
	}
	if fast < 10_000 {
		t.Errorf("only %d numbers were read without the library", fast)
	}
}

// randomNational is an example number that was changed a little, or digits.
func randomNational(r *rand.Rand, example string, i int) string {
	b := []byte(example)
	switch i % 4 {
	case 0:
		b = b[:0]
		for range 3 + r.IntN(14) {
			b = append(b, byte('0'+r.IntN(10)))
		}
	case 1:
		b = append([]byte{"0178"[r.IntN(4)]}, b...)
	case 2:
		if len(b) > 0 {
			b[r.IntN(len(b))] = byte('0' + r.IntN(10))
		}
	}
	var out []byte
	for _, c := range b {
		if r.IntN(4) == 0 {
			out = append(out, " -.()"[r.IntN(5)])
		}
		out = append(out, c)
	}
	return string(out)
}

func BenchmarkPhoneRegion(b *testing.B) {
	for _, c := range []struct{ region, text string }{{"US", "(415) 555-2671"}, {"DE", "0151 23456789"}, {"CA", "(604) 555-2671"}} {
		b.Run(c.region, func(b *testing.B) {
			region, ok := NewPhoneRegion(c.region)
			if !ok {
				b.Fatal(c.region)
			}
			text := []byte(c.text)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := region.Parse(text); !ok {
					b.Fatal(c.text)
				}
			}
		})
	}
}
