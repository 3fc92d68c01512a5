package configs

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// Secret is a value that is never shown: it prints as "***", in logs, JSON, YAML
// and %#v too. Only Reveal gives it away.
type Secret struct{ value string }

const mask = "***"

// NewSecret hides value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal is the value itself: for the connection that needs it, nowhere else.
func (s Secret) Reveal() string { return s.value }

// Empty tells whether nothing was set.
func (s Secret) Empty() bool { return s.value == "" }

// String is the mask, or nothing where nothing is set.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return mask
}

// Format keeps every verb of fmt from looking inside, %d and %x included.
func (s Secret) Format(f fmt.State, verb rune) {
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		fmt.Fprintf(f, "%q", s.String())
		return
	}
	_, _ = f.Write([]byte(s.String()))
}

// LogValue is the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON is the mask.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalText is the mask.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML is the mask.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// Bytes is a size in bytes.
type Bytes int64

var units = []struct {
	name string
	size Bytes
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String is the size in the largest unit that divides it: "256MiB".
func (b Bytes) String() string {
	for _, u := range units {
		if b != 0 && b%u.size == 0 && u.size > 1 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// ParseBytes reads a whole number of bytes, with or without a unit of 1024:
// "1048576", "1024KiB", "1MiB". MB is refused, since half of the world means
// something else by it than the other half.
func ParseBytes(s string) (Bytes, error) {
	digits, unit := s, Bytes(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			digits, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > int64(1<<62)/int64(unit) {
		return 0, fmt.Errorf("%q is not a size: write bytes or a whole number of KiB, MiB or GiB, such as 256MiB", s)
	}
	return Bytes(n) * unit, nil
}
