package clickhouse

import (
	"strconv"
	"strings"
)

// The server reads the text of a String parameter as it reads a field of TSV.
// clickhouse.Parameters pass the text on as it is, so that a backslash would be
// lost, and a tab or a newline an error, without these escapes.
var parameterEscapes = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

// parameterText is s as the text of a parameter of type String.
func parameterText(s string) string { return parameterEscapes.Replace(s) }

// In an array the elements are quoted, and read as strings in SQL.
var quotedEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

// parameterTexts is list as the text of a parameter of type Array(String).
func parameterTexts(list []string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\'')
		b.WriteString(quotedEscapes.Replace(s))
		b.WriteByte('\'')
	}
	b.WriteByte(']')
	return b.String()
}

// parameterNumbers is list as the text of a parameter of type Array of unsigned
// integers.
func parameterNumbers(list []uint64) string {
	b := []byte{'['}
	for i, n := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, n, 10)
	}
	return string(append(b, ']'))
}
