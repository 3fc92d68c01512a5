package statement

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"leadevents"
)

// Bounds of parameters.
const (
	MaxParameters     = 100
	MaxParameterBytes = 256 << 10 // of all values together
	maxArrayDepth     = 4
)

var parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// ClickHouse reads a parameter that is a text as it reads a field of TSV, and the
// elements of an array as literals in SQL.
var (
	fieldEscapes   = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)
	literalEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)
)

// Bind writes the values of params, JSON, as ClickHouse reads those of {name:Type}: the
// type is the statement's, and ClickHouse checks the value against it. Numbers keep all
// of their digits.
func Bind(params map[string]jsontext.Value) (map[string]string, error) {
	if len(params) > MaxParameters {
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "params has %d values, more than %d", len(params), MaxParameters)
	}
	bound, size := make(map[string]string, len(params)), 0
	for name, value := range params {
		if !parameterName.MatchString(name) {
			return nil, leadevents.Errorf(leadevents.InvalidRequest, "params: %q cannot be a parameter's name: 1 to 64 letters, digits and underscores", name)
		}
		text, err := bindValue(value, 0)
		if err != nil {
			return nil, leadevents.Errorf(leadevents.InvalidRequest, "params.%s %w", name, err)
		}
		if size += len(text); size > MaxParameterBytes {
			return nil, leadevents.Errorf(leadevents.InvalidRequest, "params are longer than %d bytes together", MaxParameterBytes)
		}
		bound[name] = text
	}
	return bound, nil
}

// bindValue writes a value; inside of arrays, depth of them, texts are quoted.
func bindValue(value jsontext.Value, depth int) (string, error) {
	switch value.Kind() {
	case 'n':
		if depth > 0 {
			return "NULL", nil
		}
		return `\N`, nil // as TSV has it; a text \N is escaped
	case 't', 'f', '0':
		return string(value), nil
	case '"':
		text, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return "", fmt.Errorf("is not a JSON string")
		}
		if depth > 0 {
			return "'" + literalEscapes.Replace(string(text)) + "'", nil
		}
		return fieldEscapes.Replace(string(text)), nil
	case '[':
		return bindArray(value, depth+1)
	}
	return "", fmt.Errorf("must be a string, a number, true, false, null, or an array of them")
}

func bindArray(value jsontext.Value, depth int) (string, error) {
	if depth > maxArrayDepth {
		return "", fmt.Errorf("is nested deeper than %d", maxArrayDepth)
	}
	in := jsontext.NewDecoder(bytes.NewReader(value))
	if _, err := in.ReadToken(); err != nil {
		return "", fmt.Errorf("is not JSON")
	}
	var b strings.Builder
	b.WriteByte('[')
	for in.PeekKind() != ']' {
		element, err := in.ReadValue()
		if err != nil {
			return "", fmt.Errorf("is not JSON")
		}
		text, err := bindValue(element, depth)
		if err != nil {
			return "", err
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(text)
	}
	b.WriteByte(']')
	return b.String(), nil
}
