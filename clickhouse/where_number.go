package clickhouse

import (
	"fmt"
	"math"
	"strings"

	"leadevents/query/audience"
)

// Numbers have exact values (package audience): integers of up to 64 bits are
// themselves, all others float64. Below 2^53 every integer is a float64, and
// rounding keeps order, so that comparing as float64 is exact with every number
// of smaller magnitude. With a larger one the row's integers are compared as
// integers and its floats as floats.
const exactFloat = 1 << 53

// float is the value, a number, as the nearest float64. Its text is parsed
// again by the JSON parser, which rounds correctly (toFloat64 does not). That
// parser refuses integers beyond 64 bits, and the engine writes floats up to
// 1e21 like integers, hence the ".0".
func (v *value) float() string {
	if v.floating != "" {
		return v.floating
	}
	v.floating = v.name()
	return fmt.Sprintf("(JSONExtractFloat(if(length(%[1]s) < 19 OR match(%[1]s, '[.e]'), %[1]s, concat(%[1]s, '.0'))) AS %[2]s)", v.raw, v.floating)
}

// isFloat is true where the value, a number, is no integer of up to 64 bits.
// The text does not tell: 9223372036854775808.0 has become an integer's. So this
// is a second parse, done only where a condition names a number of that size.
func (v *value) isFloat() string {
	return fmt.Sprintf("JSONType(if(%[1]s = '', %[2]s, %[3]s), %[4]s) = 'Double'", v.sent, v.repairedJSON(), v.column, v.path)
}

// compare is true where the value, a number, stands to n as op says.
func (v *value) compare(op audience.Op, n audience.Number) string {
	f := n.Float()
	if math.Abs(f) < exactFloat {
		return v.float() + sqlOperator(op) + v.document.float(f)
	}
	return fmt.Sprintf("if(%s, %s, %s)", v.isFloat(), v.compareFloat(op, n), v.compareInteger(op, n))
}

// compareFloat is compare where the value is a float. Where n is none itself,
// it lies between two, and f is one of them.
func (v *value) compareFloat(op audience.Op, n audience.Number) string {
	f := n.Float()
	switch audience.NumberOf(f).Compare(n) {
	case 1: // n < f, and nothing between
		switch op {
		case audience.Eq:
			return noRow
		case audience.Lt, audience.Lte:
			op = audience.Lt
		default:
			op = audience.Gte
		}
	case -1: // f < n
		switch op {
		case audience.Eq:
			return noRow
		case audience.Lt, audience.Lte:
			op = audience.Lte
		default:
			op = audience.Gt
		}
	}
	return v.float() + sqlOperator(op) + v.document.float(f)
}

// compareInteger is compare where the value is an integer. A number beyond 64
// bits stands to all of them as the next integer outside does.
func (v *value) compareInteger(op audience.Op, n audience.Number) string {
	text := n.String()
	if !n.Integer() {
		text = "18446744073709551616"
		if n.Float() < 0 {
			text = "-9223372036854775809"
		}
	}
	return "toInt128OrZero(" + v.raw + ")" + sqlOperator(op) + v.parameter("Int128", text)
}

// among is true where the value, a number, equals one of the list. 0 is added to
// a float because IN compares bits, and -0 is 0.
func (v *value) among(list []audience.Number) string {
	var small, large []float64
	var integers []string
	for _, n := range list {
		f := n.Float()
		if math.Abs(f) < exactFloat {
			small = append(small, f)
			continue
		}
		if audience.NumberOf(f) == n {
			large = append(large, f)
		}
		if n.Integer() {
			integers = append(integers, n.String())
		}
	}
	var parts []string
	if len(small) > 0 {
		parts = append(parts, fmt.Sprintf("if(%s = 0, 0, %s) IN %s", v.float(), v.float(), v.floats(small)))
	}
	if len(large)+len(integers) > 0 {
		asFloat, asInteger := noRow, noRow
		if len(large) > 0 {
			asFloat = v.float() + " IN " + v.floats(large)
		}
		if len(integers) > 0 { // an integer's text is canonical
			asInteger = v.raw + " IN " + v.parameter("Array(String)", parameterTexts(integers))
		}
		parts = append(parts, fmt.Sprintf("if(%s, %s, %s)", v.isFloat(), asFloat, asInteger))
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}
