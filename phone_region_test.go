package leadevents

import "testing"

func TestParsePhoneIn(t *testing.T) {
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
		{"US", "4915123456789", 4915123456789}, // too long there
		{"US", "555-2671", 0},                  // local only
		{"US", "", 0},
		{"US", "n/a", 0},
		{"DE", "0151 23456789", 4915123456789},
		{"DE", "015123456789", 4915123456789},
		{"GB", "020 7946 0000", 442079460000},
		{"IT", "06 698 12345", 390669812345}, // keeps its zero
	} {
		p, ok := ParsePhoneIn(c.region, []byte(c.text))
		if ok != (c.want != 0) || p != c.want {
			t.Errorf("ParsePhoneIn(%s, %q) = %d, %v; want %d", c.region, c.text, p, ok, c.want)
		}
	}
	for region, want := range map[string]bool{"US": true, "DE": true, "us": false, "XX": false, "": false, "ZZ": false} {
		if KnownRegion(region) != want {
			t.Errorf("KnownRegion(%q) = %v", region, !want)
		}
	}
}
