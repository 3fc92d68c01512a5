package auth

import (
	"fmt"
	"io"
	"log/slog"
)

const masked = "[secret]"

// Secret is a text that may be shown once and never logged: every way of
// printing or marshalling it gives "[secret]". The text hides behind a pointer
// because fmt, given a struct that holds a Secret in an unexported field, prints
// the field's memory without calling its methods: it then prints an address.
type Secret struct{ text *string }

// NewSecret wraps a text.
func NewSecret(s string) Secret { return Secret{&s} }

// Reveal is the text itself; empty of the zero Secret.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero tells whether there is no text.
func (s Secret) IsZero() bool { return s.text == nil || *s.text == "" }

// String is the mask.
func (s Secret) String() string { return masked }

// GoString is the mask.
func (s Secret) GoString() string { return masked }

// Format writes the mask for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// LogValue is the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText is the mask, and so are JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }
