package clickhouse

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"leadevents/query/audience"
)

// Pools from which metadata and conditions are drawn, small so that they meet.
// Each line holds spellings that JSON says are one value, or that a reader may
// wrongly take for one.
var (
	poolKeys = []string{
		`"a"`, `"a"`, `"b"`, `"b"`, `"c"`, `"\u0061"`, `"A"`, `"0"`, `"1"`, `"-1"`, `""`, `"a.b"`,
		`"é"`, `"\u00e9"`, `"e\u0301"`, `"😀"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ufffd"`, `"n\u0000l"`, `"q\"q"`, `"b\\s"`, `"s\/s"`, `"t\tt"`, `"' OR 1"`, `"{w1:String}"`, `"null"`,
	}
	poolNumbers = []string{
		"5", "5.0", "5e0", "0.5E1", "50e-1", "-5", "0", "-0", "0.0", "-0.0", "0e5", "1e-400", "-1e-400", "4.9e-324", "2.2250738585072011e-308",
		"0.1", "1e-1", "0.30000000000000004", "0.3", "297", "297.5", "-297.25", "1", "1.0000000000000002", "100", "1E+2", "2", "3",
		"3.4028236e38", "123456.789", "0.000001", "1e-7", "1.7976931348623157e308", "1.7976931348623159e308", "1e308", "1e309", "-1e309", "1e999", "-1e999",
		"9007199254740991", "9007199254740992", "9007199254740993", "9007199254740992.0", "9007199254740993.0", "9007199254740994", "-9007199254740992", "-9007199254740993", "9007199254740994e0",
		"9223372036854775806", "9223372036854775807", "9223372036854775808", "9223372036854775807.0", "9223372036854775808.0", "9223372036854775809", "-9223372036854775807", "-9223372036854775808", "-9223372036854775809", "-9223372036854775808.0",
		"9223372036854774784", "9223372036854776000", "9223372036854776832",
		"18446744073709551614", "18446744073709551615", "18446744073709551616", "18446744073709551617", "18446744073709551615.0", "1.8446744073709552e19", "18446744073709549568", "-18446744073709551616",
		"1e18", "1000000000000000000", "1e19", "10000000000000000000", "1e20", "100000000000000000000", "100000000000000000000.0", "1e21", "1e22", "123456789012345678901234567890", "1.2345678901234567e22", "12345678901234567890123",
		"0." + strings.Repeat("3", 60), strings.Repeat("9", 400), "-" + strings.Repeat("9", 400), "1" + strings.Repeat("0", 308), "0." + strings.Repeat("0", 330) + "1", "8.5070591730234615865843651857942052864e37",
	}
	poolStrings = []string{
		`""`, `"5"`, `"5.0"`, `"-5"`, `"0"`, `"true"`, `"null"`, `"[]"`, `"{}"`, `"a"`, `"A"`, `"\u0041"`, `"ab"`, `"abc"`, `"b"`, `" a"`, `"a "`,
		`"é"`, `"\u00e9"`, `"\u00E9"`, `"e\u0301"`, `"😀"`, `"\ud83d\ude00"`, `"\uD83D\uDE00"`, `"\uffff"`, `"\ue000"`, `"日本"`, `"\ud83d"`, `"\ude00"`, `"\ud83dx"`, `"\ude00\ud83d"`, `"\ud83d\ud83d\ude00"`, `"\ud83d\u0041"`, `"\ufffd"`, `"\\ud83d"`, `"\\\ud83d"`,
		`"n\u0000l"`, `"\u0000"`, `"n"`, `"q\"q"`, `"\""`, `"\\"`, `"\\\""`, `"\/"`, `"/"`, `"\b\f\n\r\t"`, `"\u000b"`, `"\u007f"`, `"\u2028"`, `"x'y"`, `"'"`, `"%"`, `"{w1:String}"`, `"2026-05-12"`, `"1e999"`, `"\\n"`, `"\\N"`,
	}
)

// source draws random metadata and conditions.
type source struct{ *rand.Rand }

func pick[T any](s source, pool []T) T { return pool[s.IntN(len(pool))] }

// value draws a JSON value that nests at most depth levels.
func (s source) value(depth int) string {
	n := 20
	if depth == 0 {
		n = 15 // scalars only
	}
	switch k := s.IntN(n); {
	case k < 6:
		return pick(s, poolNumbers)
	case k < 7:
		return fmt.Sprintf("%g", s.NormFloat64()*1e3)
	case k < 12:
		return pick(s, poolStrings)
	case k < 14:
		return pick(s, []string{"true", "false"})
	case k < 15:
		return "null"
	case k < 18:
		return s.object(depth - 1)
	default:
		elements := make([]string, s.IntN(3))
		for i := range elements {
			elements[i] = s.value(depth - 1)
		}
		return "[" + strings.Join(elements, ",") + "]"
	}
}

func (s source) object(depth int) string {
	members := make([]string, s.IntN(4))
	for i := range members {
		members[i] = pick(s, poolKeys) + ":" + s.value(depth)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// metadata draws an object: mostly small, sometimes with one thing in it that
// the engine's parser refuses, sometimes as deep as metadata may be, and now and
// then with white space, which ingest removes.
func (s source) metadata() string {
	switch s.IntN(20) {
	case 0:
		depth := 1 + s.IntN(63)
		return strings.Repeat(`{"a":`, depth) + s.value(0) + strings.Repeat("}", depth)
	case 1:
		return `{"a":` + s.value(0) + `,"zz":` + pick(s, []string{"1e999", "123456789012345678901234567890", `"\ud83d"`, `{"\udc00":[-1e400]}`}) + "}"
	case 2:
		return "{ \"a\" :\t" + s.value(0) + " ,\n\"b\": " + s.value(0) + " }"
	case 3:
		return `{"a":` + s.value(0) + `,"a":` + s.value(1) + "}"
	default:
		return s.object(3)
	}
}

// path draws the path of a condition, in JSON.
func (s source) path() string {
	if s.IntN(20) == 0 {
		return `"` + strings.Repeat("a.", s.IntN(63)) + `a"`
	}
	var levels []string
	for range 1 + s.IntN(3) {
		if key := strings.Trim(pick(s, poolKeys), `"`); key != "" {
			levels = append(levels, strings.ReplaceAll(key, ".", ""))
		}
	}
	if len(levels) == 0 {
		return `"a"`
	}
	return `"` + strings.Join(levels, ".") + `"`
}

// condition draws a condition, through the codec.
func (s source) condition() audience.Condition {
	for {
		op := pick(s, audience.Ops())
		value := s.value(1)
		switch op {
		case audience.Exists:
			value = pick(s, []string{"true", "false"})
		case audience.In:
			list := make([]string, s.IntN(6))
			for i := range list {
				list[i] = s.value(1)
			}
			value = "[" + strings.Join(list, ",") + "]"
		case audience.Gt, audience.Gte, audience.Lt, audience.Lte:
			value = pick(s, [][]string{poolNumbers, poolStrings}[s.IntN(2)])
		}
		text := fmt.Sprintf(`{"mode":"include","eventType":"x","where":[{"path":%s,"op":"%s","value":%s}]}`, s.path(), op, value)
		// A number beyond float64 in a filter is the only thing drawn that is refused.
		if f, err := audience.DecodeFilter([]byte(text), "filter"); err == nil {
			return f.Where[0]
		}
	}
}
