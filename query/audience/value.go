package audience

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// ValueKind is the JSON type of a [Value].
type ValueKind uint8

// The JSON types. NoValue is the zero kind: no value was given, or the path
// does not exist.
const (
	NoValue ValueKind = iota
	NullValue
	BoolValue
	NumberValue
	StringValue
	ArrayValue
	ObjectValue
)

// Value is what a condition compares with.
type Value struct {
	Kind   ValueKind
	Bool   bool
	Number Number
	Text   string // of a StringValue, escapes resolved
	// Elements are those of an ArrayValue, in order.
	Elements []Value
	// Raw is the compact JSON of an ObjectValue, and of an ArrayValue that is an
	// element itself. They equal nothing, so that it only ever is written back, and
	// nobody has to descend into it.
	Raw string
}

// maxValueText bounds a condition's value as it is sent, before anything is made of
// it: a character that is escaped takes 6 bytes instead of one. White space counts.
const maxValueText = 6 * MaxValueBytes

// decodeValue reads a condition's value, which must be valid JSON; at names it in
// the errors. Its cost is that of the text, which is bounded, and of MaxValues.
func decodeValue(raw []byte, at string) (Value, error) {
	if len(raw) > maxValueText {
		return Value{}, refuse(at, "is %d bytes long, as it was sent; at most %d are allowed", len(raw), maxValueText)
	}
	if raw[0] != '[' {
		return decodeElement(raw, at)
	}
	n := count(raw)
	if n > MaxValues {
		return Value{}, refuseValues(at, n)
	}
	v := Value{Kind: ArrayValue, Elements: make([]Value, 0, n)}
	for _, e := range elements(raw) {
		element, err := decodeElement(e, at)
		if err != nil {
			return Value{}, err
		}
		v.Elements = append(v.Elements, element)
	}
	return v, nil
}

// decodeElement reads a value and descends into none.
func decodeElement(raw []byte, at string) (Value, error) {
	kind := ObjectValue
	switch raw[0] {
	case '[':
		kind = ArrayValue
	case '{':
	default:
		v, inRange := parseScalar(raw)
		if !inRange {
			return Value{}, refuse(at, "holds a number beyond a 64-bit float")
		}
		return v, nil
	}
	var compact bytes.Buffer
	_ = json.Compact(&compact, raw) // valid already
	return Value{Kind: kind, Raw: compact.String()}, nil
}

// parseScalar reads a value that is neither an array nor an object.
func parseScalar(raw []byte) (Value, bool) {
	switch raw[0] {
	case '"':
		return Value{Kind: StringValue, Text: unquote(raw)}, true
	case 't', 'f':
		return Value{Kind: BoolValue, Bool: raw[0] == 't'}, true
	case 'n':
		return Value{Kind: NullValue}, true
	default:
		n, inRange := ParseNumber(string(raw))
		return Value{Kind: NumberValue, Number: n}, inRange
	}
}

// equal is the eq of conditions: null, arrays and objects equal nothing.
func (v Value) equal(w Value) bool {
	if v.Kind != w.Kind {
		return false
	}
	switch v.Kind {
	case BoolValue:
		return v.Bool == w.Bool
	case NumberValue:
		return v.Number == w.Number
	case StringValue:
		return v.Text == w.Text
	default:
		return false
	}
}

// appendJSON appends the value's canonical JSON.
func (v Value) appendJSON(b []byte) []byte {
	switch v.Kind {
	case BoolValue:
		if v.Bool {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case NumberValue:
		return append(b, v.Number.String()...)
	case StringValue:
		return appendString(b, v.Text)
	case ArrayValue:
		if v.Raw != "" {
			return append(b, v.Raw...)
		}
		b = append(b, '[')
		for i, e := range v.Elements {
			if i > 0 {
				b = append(b, ',')
			}
			b = e.appendJSON(b)
		}
		return append(b, ']')
	case ObjectValue:
		return append(b, v.Raw...)
	default:
		return append(b, "null"...)
	}
}

// valid tells whether a condition's value that was made in Go is one that JSON can
// hold.
func (v Value) valid() bool {
	if v.Kind != ArrayValue {
		return v.validElement()
	}
	return v.Raw == "" && !slices.ContainsFunc(v.Elements, func(e Value) bool { return !e.validElement() })
}

func (v Value) validElement() bool {
	switch v.Kind {
	case NullValue, BoolValue, NumberValue:
		return true
	case StringValue:
		return utf8.ValidString(v.Text)
	case ArrayValue:
		return v.Elements == nil && strings.HasPrefix(v.Raw, "[") && validJSON([]byte(v.Raw))
	case ObjectValue:
		return strings.HasPrefix(v.Raw, "{") && validJSON([]byte(v.Raw))
	default:
		return false
	}
}
