package audience

import (
	"runtime"
	"strings"
	"testing"
)

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// listOf is a JSON array of as many of an element as 10 MB hold, as a body may.
func listOf(element string) string {
	return `[` + strings.TrimSuffix(strings.Repeat(element+",", 10<<20/(len(element)+1)), ",") + `]`
}

// Whatever a request says, it costs a small multiple of its own size. A few KB of
// gzip are 10 MB of zeros.
func TestNoFilterOrReferenceCostsMoreMemoryThanItIsLong(t *testing.T) {
	value := func(op, v string) string {
		return conditionWith(`{"path":"a","op":"` + op + `","value":` + v + `}`)
	}
	long := strings.Repeat("a", 10<<20)
	for name, c := range map[string]struct{ text, message string }{
		"zeros":                 {value("in", listOf("0")), "value is"},
		"zeros where none is":   {value("gt", listOf("0")), "value is"},
		"lists of nothing":      {value("in", listOf("[]")), "value is"},
		"a value of 393,217":    {value("eq", `"`+strings.Repeat("a", maxValueText-1)+`"`), "value is 393217 bytes long, as it was sent; at most 393216 are allowed"},
		"a hundred long values": {value("eq", `[`+strings.TrimSuffix(strings.Repeat("0,", 180_000), ",")+`]`), "value holds 180000 values; at most 1000 are allowed"},
		"white space":           {value("in", `[`+strings.Repeat(" ", 10<<20)+`]`), "value is"},
		"filters":               {listOf("0"), "eventFilters holds"},
		"conditions":            {conditionWith(strings.Trim(listOf("0"), "[]")), "where holds"},
		"unknown fields":        {`[{` + strings.Trim(listOf(`"":0`), "[]") + `}]`, "unknown field"},
		"a field's long name":   {`[{"` + long + `":0}]`, "unknown field"},
		"an escaped long name":  {`[{"\u0061` + long + `":0}]`, "unknown field"},
		"a long eventType":      {`[{"mode":"include","eventType":"` + long + `"}]`, "characters long"},
		"a long path":           {conditionWith(`{"path":"` + strings.Repeat("a.", 5<<20) + `a","op":"eq","value":1}`), "levels"},
		"a long count":          {filterWith(`,"minCount":1` + strings.Repeat("0", 10<<20)), "minCount must be"},
		"an array for a mode":   {`[{"mode":` + listOf("[]") + `,"eventType":"a"}]`, "mode must be a string"},
	} {
		raw := []byte(c.text)
		var err error
		if bytes := allocated(func() { _, err = DecodeFilters(raw, "eventFilters") }); bytes > uint64(5*len(raw)) {
			t.Errorf("%s: %d bytes for %d of JSON", name, bytes, len(raw))
		}
		if err == nil || !strings.Contains(err.Error(), c.message) || len(err.Error()) > 500 {
			t.Errorf("%s: %.500v, want %q", name, err, c.message)
		}
	}
	for name, c := range map[string]struct{ text, message string }{
		"zeros":          {`{"phones":` + listOf("0") + `}`, "phones holds"},
		"empty phones":   {`{"phones":` + listOf(`""`) + `}`, "phones holds"},
		"a long phone":   {`{"phones":["` + strings.Repeat("1", 10<<20) + `"]}`, "phones[0] is not a possible phone number"},
		"unknown fields": {`{` + strings.Trim(listOf(`"a":0`), "[]") + `}`, "unknown field"},
		"a long id":      {`{"audienceId":"` + long + `"}`, "audienceId must be"},
		"white space":    {`{"phones":[` + strings.Repeat(" ", 10<<20) + `0]}`, "phones[0] must be a string"},
	} {
		raw := []byte(c.text)
		var err error
		if bytes := allocated(func() { _, err = DecodeReference(raw, "audience") }); bytes > uint64(5*len(raw)) {
			t.Errorf("%s: %d bytes for %d of JSON", name, bytes, len(raw))
		}
		if err == nil || !strings.Contains(err.Error(), c.message) || len(err.Error()) > 500 {
			t.Errorf("%s: %.500v, want %q", name, err, c.message)
		}
	}
}

// What lies in a list's elements is read once, not once for each level: a level of
// recursion would cost an allocation at least.
func TestNestedValuesAreNotDescendedInto(t *testing.T) {
	const deep = 5_000
	nested := strings.Repeat("[", deep) + strings.Repeat("]", deep)
	raw := []byte(conditionWith(`{"path":"a","op":"in","value":[` + nested + `]}`))
	filters, err := DecodeFilters(raw, "eventFilters")
	if err != nil {
		t.Fatal(err)
	}
	values := filters[0].Where[0].Value.Elements
	if len(values) != 1 || values[0].Kind != ArrayValue || values[0].Raw != nested || values[0].Elements != nil {
		t.Errorf("read as %d elements, %.100v", len(values), values)
	}
	if n := testing.AllocsPerRun(1, func() { _, err = DecodeFilters(raw, "eventFilters") }); n > 100 {
		t.Errorf("%d levels took %v allocations", deep, n)
	}
	if n := testing.AllocsPerRun(1, func() { err = filters[0].Validate("filter") }); n > 100 || err != nil {
		t.Errorf("to validate them took %v allocations: %v", n, err)
	}
	if HoldAll(filters[0].Where, []byte(`{"a":`+nested+`}`)) {
		t.Error("a list equals a list")
	}
}
