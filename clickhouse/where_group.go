package clickhouse

import (
	"fmt"
	"strings"

	"leadevents/query/audience"
)

// raw is what lies at a path of the metadata in column, as JSON: strings in quotes, arrays
// and objects whole, empty or null where there is nothing, and numbers so that equal ones
// are equal texts, but for -0. It never is NULL and never fails. The steps are those of
// holdAll: a search for the key, the text as it was sent, and its repaired form where the
// engine refuses to parse it. The engine writes what it has parsed, so one extraction
// tells value and type.
//
// What was extracted stands in the conditions, which are not lazy, so that it is extracted
// once; with all of it in the branch of one if it was done for each place where it stands,
// at three times the cost. The repaired form stands once, as the argument of a lambda: where it stood
// nine times, the server's analyzer took 300 ms for a breakdown of however few rows.
func (w *where) raw(column, path string) string {
	v := w.value(audience.Condition{Path: path, Op: audience.Exists})
	sent := fmt.Sprintf("if(%s, %s, '')", v.mayHold(column), v.extract("JSONExtractRaw", column))
	return fmt.Sprintf("if(%s = '' AND %s AND NOT isValidJSON(%[3]s) AND isValidUTF8(%[3]s), arrayMap(repaired -> %[4]s, [%[5]s])[1], %[6]s)",
		sent, v.mayHold(column), column, v.written(v.extract("JSONExtractRaw", "repaired"), "repaired"), fmt.Sprintf(repairedJSON, column), v.written(sent, column))
}

// written is a value that the engine wrote, but for floats from 2^53 on, whose digits it
// fills up with zeros, as if they were integers (2^63 as 9223372036854776000): those
// that are integers of 64 bits are written exactly, larger ones with a point.
func (v *value) written(text, json string) string {
	return fmt.Sprintf(`if(length(%[1]s) >= 16 AND %[1]s >= '-' AND %[1]s < ':' AND %[2]s,
		if(%[3]s >= -exp2(63) AND %[3]s < exp2(64) AND %[3]s = trunc(%[3]s), toString(toInt128(%[3]s)), if(match(%[1]s, '[.e]'), %[1]s, concat(%[1]s, '.0'))), %[1]s)`,
		text, v.is(json, "Double"), v.extract("JSONExtractFloat", json))
}

// place is where a document has room for something that is not known before: the text
// stands before the comment with its name, so that the document can be run as it is.
func place(document, name, text string) string {
	mark := " /* " + name + " */"
	before, after, found := strings.Cut(document, mark)
	begin := strings.LastIndexAny(before, " \n\t") + 1
	if !found || strings.Contains(after, mark) {
		panic("clickhouse: a document has no place, or two, for " + name) // a typo; every document is used by a test
	}
	return before[:begin] + text + after
}
