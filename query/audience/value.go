package audience

import (
	"bytes"
	"encoding/json"
	"slices"
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
	// Raw is an ObjectValue's compact JSON. Objects equal nothing, so that it only
	// ever is written back.
	Raw string
}

// parseValue reads one JSON value. The text must be valid JSON. The second
// result is false where a number is beyond float64.
func parseValue(raw []byte) (Value, bool) {
	raw = trimSpace(raw)
	switch raw[0] {
	case '{':
		var compact bytes.Buffer
		_ = json.Compact(&compact, raw) // valid already
		return Value{Kind: ObjectValue, Raw: compact.String()}, true
	case '[':
		v, inRange := Value{Kind: ArrayValue, Elements: []Value{}}, true
		for _, e := range elements(raw) {
			element, ok := parseValue(e)
			inRange = inRange && ok
			v.Elements = append(v.Elements, element)
		}
		return v, inRange
	default:
		return parseScalar(raw)
	}
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

// valid tells whether a value made in Go is one that JSON can hold.
func (v Value) valid() bool {
	switch v.Kind {
	case NullValue, BoolValue, NumberValue:
		return true
	case StringValue:
		return utf8.ValidString(v.Text)
	case ArrayValue:
		return !slices.ContainsFunc(v.Elements, func(e Value) bool { return !e.valid() })
	case ObjectValue:
		return json.Valid([]byte(v.Raw)) && v.Raw[0] == '{'
	default:
		return false
	}
}
