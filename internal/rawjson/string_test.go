package rawjson

import (
	"strings"
	"testing"
)

// Strings are read eight bytes at a time: each special byte at each place of
// the eight, and of the tail.
func TestStringsEndWhereTheyEnd(t *testing.T) {
	for before := range 20 {
		for after := range 20 {
			for _, special := range []string{`"`, `\"`, `\`, "\x1f", "\x00", "\x7f", "é", "\x80", "\xff", `\\`, " ", "!", "#", "[", "]"} {
				body := []byte(`"` + strings.Repeat("a", before) + special + strings.Repeat("b", after) + `"`)
				end, ok := ScanString(body, 1)
				switch special {
				case `"`:
					if !ok || end != 1+before {
						t.Fatalf("ScanString(%q) = %d, %v", body, end, ok)
					}
				case `\`, "\x1f", "\x00", "\x80", "\xff":
					if special == `\` && (after > 0 || ok) { // \b is an escape, and \" needs another quote
						continue
					}
					if ok || special != `\` && end != 1+before {
						t.Fatalf("ScanString(%q) = %d, %v", body, end, ok)
					}
				default:
					if !ok || end != len(body)-1 {
						t.Fatalf("ScanString(%q) = %d, %v", body, end, ok)
					}
				}
			}
		}
	}
}
