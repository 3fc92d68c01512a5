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

// float is the value as the nearest float64, where it is a number. (toFloat64 of
// its text would not always round to the nearest.)
func (v *value) float(json string) string { return v.extract("JSONExtractFloat", json) }

// compare is true where the value is a number that stands to the condition's as
// op says.
func (v *value) compare(json string, op audience.Op) string {
	n := v.Value.Number
	f := n.Float()
	if math.Abs(f) < exactFloat {
		// JSONExtractFloat reads strings as numbers, too, hence the type.
		return fmt.Sprintf("(%s%s%s AND %s)", v.float(json), sqlOperator(op), v.where.float(f), v.is(json, "Int64", "UInt64", "Double"))
	}
	return fmt.Sprintf("(%s AND %s OR %s AND %s)",
		v.is(json, "Double"), v.compareFloat(json, op, n),
		v.is(json, "Int64", "UInt64"), v.compareInteger(json, op, n))
}

// compareFloat is compare where the value is a float. Where n is none itself,
// it lies between two neighbours, and f is one of them.
func (v *value) compareFloat(json string, op audience.Op, n audience.Number) string {
	f := n.Float()
	switch side := audience.NumberOf(f).Compare(n); {
	case side == 0:
	case op == audience.Eq:
		return noRow
	case side > 0: // n < f, and no float between
		if op == audience.Lt || op == audience.Lte {
			op = audience.Lt
		} else {
			op = audience.Gte
		}
	default: // f < n
		if op == audience.Lt || op == audience.Lte {
			op = audience.Lte
		} else {
			op = audience.Gt
		}
	}
	return v.float(json) + sqlOperator(op) + v.where.float(f)
}

// compareInteger is compare where the value is an integer. A number beyond 64
// bits stands to all of them as the next integer outside does.
func (v *value) compareInteger(json string, op audience.Op, n audience.Number) string {
	text := n.String()
	if !n.Integer() {
		text = "18446744073709551616"
		if n.Float() < 0 {
			text = "-9223372036854775809"
		}
	}
	return "toInt128OrZero(" + v.extract("JSONExtractRaw", json) + ")" + sqlOperator(op) + v.parameter("Int128", text)
}

// among is true where the value is a number of the list. The if makes -0 a
// 0: IN compares floats by their bits where it builds a set of them.
func (v *value) among(json string, list []audience.Number) string {
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
		parts = append(parts, fmt.Sprintf("if(%[1]s = 0, 0, %[1]s) IN %[2]s AND %[3]s", v.float(json), v.floats(small), v.is(json, "Int64", "UInt64", "Double")))
	}
	if len(large) > 0 {
		parts = append(parts, v.is(json, "Double")+" AND "+v.float(json)+" IN "+v.floats(large))
	}
	if len(integers) > 0 { // the engine writes an integer in one way
		parts = append(parts, v.is(json, "Int64", "UInt64")+" AND "+v.extract("JSONExtractRaw", json)+" IN "+v.parameter("Array(String)", parameterTexts(integers)))
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}
