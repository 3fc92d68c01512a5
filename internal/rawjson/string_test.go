package rawjson

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
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

func FuzzAppendQuoted(f *testing.F) {
	for _, s := range []string{"", "a", "\"\\\x00\x1f\n\r\t", "é😀", strings.Repeat("x", 7) + `"` + strings.Repeat("y", 9), "\x7f\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		literal := AppendQuoted([]byte("x"), []byte(text))[1:]
		var back string
		if err := json.Unmarshal(literal, &back); err != nil || back != text {
			t.Fatalf("AppendQuoted(%q) = %s, read as %q, %v", text, literal, back, err)
		}
		if end, ok := ScanString(literal, 1); !ok || end != len(literal)-1 {
			t.Fatalf("ScanString(%s) = %d, %v", literal, end, ok)
		}
	})
}

func TestAppendCompact(t *testing.T) {
	for text, want := range map[string]string{
		`{ "a b" : [ 1 , 2 ] , "c" : "\" x" }`: `{"a b":[1,2],"c":"\" x"}`,
		"[\n\t\r {} ]":                         `[{}]`,
	} {
		if got := string(AppendCompact(nil, []byte(text))); got != want {
			t.Errorf("AppendCompact(%s) = %s", text, got)
		}
	}
}
