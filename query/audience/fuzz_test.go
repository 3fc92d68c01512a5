package audience

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"leadevents"
)

// FuzzFilterJSON: the codec never panics, reads back what it writes, and writes
// it the same again; what it accepts is valid in Go's eyes too.
func FuzzFilterJSON(f *testing.F) {
	for _, seed := range []string{
		`[]`, ` [ ] `, `null`, `[{"mode":"include","eventType":"a"}]`,
		`[{"mode":"exclude","eventType":"é\ud83d","within":{"minutes":1.2e2},"minCount":3,"where":[{"path":"a.b","op":"in","value":[1e400,-0,"\u0000",{"a":[1]},null]}]}]`,
		`[{"mode":"include","eventType":"a","where":[{"path":"a","op":"gt","value":9007199254740993},{"path":"a","op":"exists","value":false},{"path":"\udc00","op":"ne","value":1.10e-7}]}]`,
		`[{"mode":"include","mode":"include","eventType":"a"}]`, `[{"":0}]`, `[[[[`, "[\"\\\"]", `[{"mode":"include","eventType":"a","where":[{"path":"a","op":"eq","value":[[[]],{},"]"]}]}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		filters, err := DecodeFilters(raw, "eventFilters")
		if err != nil {
			if kind := leadevents.KindOf(err); kind != leadevents.InvalidRequest && kind != leadevents.InvalidJSON {
				t.Fatalf("%v is of kind %v", err, kind)
			}
			if !utf8.ValidString(err.Error()) {
				t.Fatalf("the message is not UTF-8: %q", err)
			}
			return
		}
		if err := ValidateFilters(filters, "eventFilters"); err != nil {
			t.Fatalf("accepted, but not valid: %v", err)
		}
		written := AppendFilters(nil, filters)
		if !json.Valid(written) {
			t.Fatalf("no JSON: %s", written)
		}
		again, err := DecodeFilters(written, "eventFilters")
		if err != nil || !reflect.DeepEqual(filters, again) {
			t.Fatalf("%s is read as %+v, %v; was %+v", written, again, err, filters)
		}
		if twice := AppendFilters(nil, again); !bytes.Equal(written, twice) {
			t.Fatalf("written %s, then %s", written, twice)
		}
	})
}

// FuzzHolds: no metadata makes a condition panic, and of the same paths exists
// is the denial of its denial, ne of eq where the path exists, and a value in a
// document without white space is found there as with it.
func FuzzHolds(f *testing.F) {
	for _, seed := range []string{`{"a":{"b":1}}`, `{"a":1,"a":2}`, ` { "a" : [ ] } `, `{"\u0061":"\ud83d"}`, `{"a":{"b":"]"},"b":1e999}`, `{`, `{"a\\":1}`} {
		f.Add([]byte(seed), "a.b", `[1,"x"]`)
		f.Add([]byte(seed), "a", `1`)
	}
	f.Fuzz(func(t *testing.T, metadata []byte, path, value string) {
		if validatePath(path, "path") != nil || !validJSON([]byte(value)) {
			return
		}
		v, err := decodeValue(trimSpace([]byte(value)), "value")
		if err != nil {
			return
		}
		holds := func(op Op, v Value, doc []byte) bool {
			return HoldAll([]Condition{{Path: path, Op: op, Value: v}}, doc)
		}
		exists := holds(Exists, Value{Kind: BoolValue, Bool: true}, metadata)
		if exists == holds(Exists, Value{Kind: BoolValue}, metadata) {
			t.Fatalf("exists and does not: %s of %s", path, metadata)
		}
		eq, ne := holds(Eq, v, metadata), holds(Ne, v, metadata)
		if exists && eq == ne || !exists && (eq || ne) {
			t.Fatalf("exists %t, eq %t, ne %t: %s %s of %s", exists, eq, ne, path, value, metadata)
		}
		if in := holds(In, Value{Kind: ArrayValue, Elements: []Value{v}}, metadata); in != eq {
			t.Fatalf("eq %t, in %t: %s %s of %s", eq, in, path, value, metadata)
		}
		var compact bytes.Buffer
		if validJSON(metadata) && json.Compact(&compact, metadata) == nil && holds(Eq, v, compact.Bytes()) != eq {
			t.Fatalf("white space counts: %s %s of %s", path, value, metadata)
		}
	})
}
