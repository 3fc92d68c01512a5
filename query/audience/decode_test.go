package audience

import (
	"reflect"
	"strings"
	"testing"

	"leadevents"
)

func mustFilters(t *testing.T, text string) []Filter {
	t.Helper()
	filters, err := DecodeFilters([]byte(text), "eventFilters")
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return filters
}

// filterWith is a valid filter with more fields.
func filterWith(fields string) string {
	return `[{"mode":"include","eventType":"webinar"` + fields + `}]`
}

func conditionWith(condition string) string { return filterWith(`,"where":[` + condition + `]`) }

func TestFiltersAreReadAndWrittenInOneForm(t *testing.T) {
	for claim, c := range map[string][2]string{
		"no filters":                      {`[ ]`, `[]`},
		"order and space do not matter":   {"[ {\"eventType\":\"a b\" ,\n\"mode\" : \"exclude\"} ]", `[{"mode":"exclude","eventType":"a b"}]`},
		"a default is left out":           {filterWith(`,"minCount":1`), filterWith(``)},
		"an empty where is none":          {filterWith(`,"where":[]`), filterWith(``)},
		"a window":                        {filterWith(`,"within":{"minutes":120}`), filterWith(`,"within":{"minutes":120}`)},
		"a whole number however written":  {filterWith(`,"within":{"minutes":1.2e2},"minCount":3.0`), filterWith(`,"within":{"minutes":120},"minCount":3`)},
		"escapes are resolved":            {`[{"mode":"\u0069nclude","eventType":"w\u00e9\"\\\u0001/"}]`, `[{"mode":"include","eventType":"wé\"\\\u0001/"}]`},
		"escaped field names":             {`[{"mod\u0065":"include","eventType":"a"}]`, `[{"mode":"include","eventType":"a"}]`},
		"128 characters":                  {`[{"mode":"include","eventType":"` + strings.Repeat("😀", 128) + `"}]`, `[{"mode":"include","eventType":"` + strings.Repeat("😀", 128) + `"}]`},
		"numbers in one spelling":         {conditionWith(`{"path":"a","op":"in","value":[5.0,-0,1e20,1e21,0.10,9007199254740993,123456789012345678901234567890]}`), conditionWith(`{"path":"a","op":"in","value":[5,0,1e+20,1e+21,0.1,9007199254740993,1.2345678901234568e+29]}`)},
		"every kind of value":             {conditionWith(`{"value":[null,true,false,"x",{"b" : [1.0]},[ ]],"op":"in","path":"a.b"}`), conditionWith(`{"path":"a.b","op":"in","value":[null,true,false,"x",{"b":[1.0]},[]]}`)},
		"an empty in":                     {conditionWith(`{"path":"a","op":"in","value":[]}`), conditionWith(`{"path":"a","op":"in","value":[]}`)},
		"null, arrays, objects for eq,ne": {conditionWith(`{"path":"a","op":"eq","value":null},{"path":"a","op":"ne","value":[1]},{"path":"a","op":"eq","value":{}}`), conditionWith(`{"path":"a","op":"eq","value":null},{"path":"a","op":"ne","value":[1]},{"path":"a","op":"eq","value":{}}`)},
		"the largest window and count":    {filterWith(`,"within":{"minutes":5256000},"minCount":1000000`), filterWith(`,"within":{"minutes":5256000},"minCount":1000000`)},
		"64 levels":                       {conditionWith(`{"path":"` + strings.Repeat("a.", 63) + `a","op":"exists","value":true}`), conditionWith(`{"path":"` + strings.Repeat("a.", 63) + `a","op":"exists","value":true}`)},
	} {
		t.Run(claim, func(t *testing.T) {
			filters := mustFilters(t, c[0])
			written := string(AppendFilters(nil, filters))
			if written != c[1] {
				t.Errorf("%s\nis written %s,\nwant       %s", c[0], written, c[1])
			}
			again := mustFilters(t, written)
			if !reflect.DeepEqual(filters, again) {
				t.Errorf("read back: %+v, was %+v", again, filters)
			}
		})
	}
}

func TestFiltersRefused(t *testing.T) {
	many := func(n int, what string) string { return strings.TrimSuffix(strings.Repeat(what+",", n), ",") }
	one := strings.Trim(filterWith(``), "[]")
	exists := `{"path":"a","op":"exists","value":true}`
	for claim, c := range map[string]struct{ text, message string }{
		"missing":                  {``, `eventFilters is missing`},
		"no array":                 {`{}`, `eventFilters must be an array of filters`},
		"null is no empty list":    {`null`, `eventFilters must be an array of filters`},
		"11 filters":               {`[` + many(11, one) + `]`, `eventFilters holds 11 filters; at most 10 are allowed`},
		"a filter that is null":    {`[null]`, `eventFilters[0] must be an object with mode, eventType, within, minCount, where`},
		"the third filter":         {`[` + one + `,` + one + `,{"mode":"include","eventType":"a","where":[{"path":"a","op":"like","value":1}]}]`, `eventFilters[2].where[0].op must be one of eq, ne, gt, gte, lt, lte, in, exists; got "like"`},
		"unknown field":            {filterWith(`,"withn":{"minutes":1}`), `eventFilters[0] has the unknown field "withn"; known are mode, eventType, within, minCount, where`},
		"field in other case":      {`[{"Mode":"include","eventType":"a"}]`, `eventFilters[0] has the unknown field "Mode"`},
		"field twice":              {filterWith(`,"mode":"exclude"`), `eventFilters[0].mode is given twice`},
		"field twice, escaped":     {filterWith(`,"mod\u0065":"exclude"`), `eventFilters[0].mode is given twice`},
		"no mode":                  {`[{"eventType":"a"}]`, `eventFilters[0].mode is missing`},
		"unknown mode":             {`[{"mode":"drop","eventType":"a"}]`, `eventFilters[0].mode must be include or exclude; got "drop"`},
		"mode of the wrong type":   {`[{"mode":true,"eventType":"a"}]`, `eventFilters[0].mode must be a string`},
		"no eventType":             {`[{"mode":"include"}]`, `eventFilters[0].eventType is missing`},
		"empty eventType":          {`[{"mode":"include","eventType":""}]`, `eventFilters[0].eventType must not be empty`},
		"eventType null":           {`[{"mode":"include","eventType":null}]`, `eventFilters[0].eventType must be a string`},
		"eventType of 129":         {`[{"mode":"include","eventType":"` + strings.Repeat("é", 129) + `"}]`, `eventFilters[0].eventType is 129 characters long; at most 128 are allowed`},
		"within null":              {filterWith(`,"within":null`), `eventFilters[0].within must be an object with minutes`},
		"within a number":          {filterWith(`,"within":120`), `eventFilters[0].within must be an object with minutes`},
		"within empty":             {filterWith(`,"within":{}`), `eventFilters[0].within.minutes is missing`},
		"within in hours":          {filterWith(`,"within":{"hours":2}`), `eventFilters[0].within has the unknown field "hours"; known are minutes`},
		"0 minutes":                {filterWith(`,"within":{"minutes":0}`), `eventFilters[0].within.minutes must be a whole number from 1 to 5256000`},
		"negative minutes":         {filterWith(`,"within":{"minutes":-1}`), `eventFilters[0].within.minutes must be`},
		"too many minutes":         {filterWith(`,"within":{"minutes":5256001}`), `eventFilters[0].within.minutes must be`},
		"huge minutes":             {filterWith(`,"within":{"minutes":1e999}`), `eventFilters[0].within.minutes must be`},
		"minutes with a fraction":  {filterWith(`,"within":{"minutes":1.5}`), `eventFilters[0].within.minutes must be`},
		"minutes as text":          {filterWith(`,"within":{"minutes":"120"}`), `eventFilters[0].within.minutes must be`},
		"minutes in an array":      {filterWith(`,"within":{"minutes":[120]}`), `eventFilters[0].within.minutes must be`},
		"minCount 0":               {filterWith(`,"minCount":0`), `eventFilters[0].minCount must be a whole number from 1 to 1000000`},
		"minCount null":            {filterWith(`,"minCount":null`), `eventFilters[0].minCount must be`},
		"minCount too large":       {filterWith(`,"minCount":1000001`), `eventFilters[0].minCount must be`},
		"where null":               {filterWith(`,"where":null`), `eventFilters[0].where must be an array of conditions`},
		"where an object":          {filterWith(`,"where":` + exists), `eventFilters[0].where must be an array of conditions`},
		"11 conditions":            {conditionWith(many(11, exists)), `eventFilters[0].where holds 11 conditions; at most 10 are allowed`},
		"a condition that is null": {conditionWith(`null`), `eventFilters[0].where[0] must be an object with path, op, value`},
		"unknown condition field":  {conditionWith(`{"path":"a","op":"eq","value":1,"not":true}`), `eventFilters[0].where[0] has the unknown field "not"`},
		"value twice":              {conditionWith(`{"path":"a","op":"eq","value":1,"value":2}`), `eventFilters[0].where[0].value is given twice`},
		"no path":                  {conditionWith(`{"op":"eq","value":1}`), `eventFilters[0].where[0].path is missing`},
		"empty path":               {conditionWith(`{"path":"","op":"eq","value":1}`), `eventFilters[0].where[0].path must not be empty`},
		"path of 1,000 levels":     {conditionWith(`{"path":"` + strings.Repeat("a.", 999) + `a","op":"eq","value":1}`), `eventFilters[0].where[0].path has 1000 levels; metadata nests at most 64 deep`},
		"long path":                {conditionWith(`{"path":"` + strings.Repeat("a", 2049) + `","op":"eq","value":1}`), `eventFilters[0].where[0].path is 2049 bytes long; at most 2048 are allowed`},
		"two dots":                 {conditionWith(`{"path":"a..b","op":"eq","value":1}`), `eventFilters[0].where[0].path has an empty level`},
		"a dot in front":           {conditionWith(`{"path":".a","op":"eq","value":1}`), `eventFilters[0].where[0].path has an empty level`},
		"a dot behind":             {conditionWith(`{"path":"a.","op":"eq","value":1}`), `eventFilters[0].where[0].path has an empty level`},
		"no op":                    {conditionWith(`{"path":"a","value":1}`), `eventFilters[0].where[0].op is missing`},
		"empty op":                 {conditionWith(`{"path":"a","op":"","value":1}`), `eventFilters[0].where[0].op must be one of`},
		"op in other case":         {conditionWith(`{"path":"a","op":"EQ","value":1}`), `eventFilters[0].where[0].op must be one of`},
		"no value":                 {conditionWith(`{"path":"a","op":"eq"}`), `eventFilters[0].where[0].value is missing`},
		"exists without value":     {conditionWith(`{"path":"a","op":"exists"}`), `eventFilters[0].where[0].value is missing`},
		"exists null":              {conditionWith(`{"path":"a","op":"exists","value":null}`), `eventFilters[0].where[0].value must be true or false for the operator exists`},
		"exists as text":           {conditionWith(`{"path":"a","op":"exists","value":"true"}`), `eventFilters[0].where[0].value must be true or false`},
		"gt a boolean":             {conditionWith(`{"path":"a","op":"gt","value":true}`), `eventFilters[0].where[0].value must be a number or a string for the operator gt`},
		"lte null":                 {conditionWith(`{"path":"a","op":"lte","value":null}`), `eventFilters[0].where[0].value must be a number or a string for the operator lte`},
		"lt an array":              {conditionWith(`{"path":"a","op":"lt","value":[1]}`), `eventFilters[0].where[0].value must be a number or a string for the operator lt`},
		"in a string":              {conditionWith(`{"path":"a","op":"in","value":"x"}`), `eventFilters[0].where[0].value must be an array for the operator in`},
		"in of 1,001":              {conditionWith(`{"path":"a","op":"in","value":[` + many(1001, "1") + `]}`), `eventFilters[0].where[0].value holds 1001 values; at most 1000 are allowed`},
		"a long value":             {conditionWith(`{"path":"a","op":"eq","value":"` + strings.Repeat("a", 65_535) + `"}`), `eventFilters[0].where[0].value is 65537 bytes of JSON long; at most 65536 are allowed`},
		"a number beyond float64":  {conditionWith(`{"path":"a","op":"eq","value":1e309}`), `eventFilters[0].where[0].value holds a number beyond a 64-bit float`},
		"such a one in a list":     {conditionWith(`{"path":"a","op":"in","value":[1,-1e309]}`), `eventFilters[0].where[0].value holds a number beyond a 64-bit float`},
		"a long word is cut":       {`[{"mode":"` + strings.Repeat("é", 65) + `","eventType":"a"}]`, `got "` + strings.Repeat("é", 64) + `…"`},
	} {
		t.Run(claim, func(t *testing.T) {
			filters, err := DecodeFilters([]byte(c.text), "eventFilters")
			if err == nil {
				t.Fatalf("accepted as %s", AppendFilters(nil, filters))
			}
			if kind := leadevents.KindOf(err); kind != leadevents.InvalidRequest {
				t.Errorf("kind %v, want invalid_request", kind)
			}
			if !strings.Contains(err.Error(), c.message) {
				t.Errorf("message %q, want %q", err, c.message)
			}
		})
	}
}

func TestWhatIsNoJSONIsInvalidJSON(t *testing.T) {
	for _, text := range []string{`[`, `[]]`, `[] x`, `[{"mode":include}]`, "[\"\xff\"]", "[\"\x01\"]", `[01]`, `['a']`, `[1,]`} {
		if _, err := DecodeFilters([]byte(text), "eventFilters"); leadevents.KindOf(err) != leadevents.InvalidJSON {
			t.Errorf("%q: %v, want invalid_json", text, err)
		}
		if _, err := DecodeReference([]byte(text), "audience"); leadevents.KindOf(err) != leadevents.InvalidJSON {
			t.Errorf("%q: %v, want invalid_json", text, err)
		}
	}
}

func TestFiltersMadeInGoAreValidatedToo(t *testing.T) {
	minutes := func(n int) *int { return &n }
	good := Filter{Mode: Include, EventType: "a", MinCount: 1}
	if err := ValidateFilters([]Filter{good}, "eventFilters"); err != nil {
		t.Fatal(err)
	}
	for claim, change := range map[string]func(*Filter){
		"no mode":      func(f *Filter) { f.Mode = "" },
		"no type":      func(f *Filter) { f.EventType = "" },
		"not UTF-8":    func(f *Filter) { f.EventType = "\xff" },
		"no count":     func(f *Filter) { f.MinCount = 0 },
		"no minutes":   func(f *Filter) { f.Within = minutes(0) },
		"many minutes": func(f *Filter) { f.Within = minutes(MaxMinutes + 1) },
		"no value":     func(f *Filter) { f.Where = []Condition{{Path: "a", Op: Eq}} },
		"value not UTF-8": func(f *Filter) {
			f.Where = []Condition{{Path: "a", Op: Eq, Value: Value{Kind: StringValue, Text: "\xff"}}}
		},
		"path not UTF-8": func(f *Filter) { f.Where = []Condition{{Path: "\xff", Op: Exists, Value: Value{Kind: BoolValue}}} },
		"a broken element": func(f *Filter) {
			f.Where = []Condition{{Path: "a", Op: In, Value: Value{Kind: ArrayValue, Elements: []Value{{}}}}}
		},
		"a broken object":           func(f *Filter) { f.Where = []Condition{{Path: "a", Op: Eq, Value: Value{Kind: ObjectValue, Raw: "{"}}} },
		"an object that is one not": func(f *Filter) { f.Where = []Condition{{Path: "a", Op: Eq, Value: Value{Kind: ObjectValue, Raw: "1"}}} },
	} {
		f := good
		change(&f)
		if err := f.Validate("filter"); leadevents.KindOf(err) != leadevents.InvalidRequest || err == nil {
			t.Errorf("%s: %v, want invalid_request", claim, err)
		}
	}
	if err := ValidateFilters(make([]Filter, 11), "eventFilters"); err == nil || !strings.Contains(err.Error(), "eventFilters holds 11 filters") {
		t.Errorf("11 filters: %v", err)
	}
}

func TestReferenceNamesLeadsInOneWay(t *testing.T) {
	for text, want := range map[string]struct {
		reference Reference
		canonical string
	}{
		`{"audienceId":"spring.2026_a-B"}`: {Reference{Source: Stored, AudienceID: "spring.2026_a-B"}, `{"audienceId":"spring.2026_a-B"}`},
		`{"phones":[]}`:                    {Reference{Source: Listed, Phones: []leadevents.Phone{}}, `{"phones":[]}`},
		`{"phones":["+4915112345678","0015551234567"," +15551234567"]}`: {Reference{Source: Listed, Phones: []leadevents.Phone{15551234567, 4915112345678}}, `{"phones":["+15551234567","+4915112345678"]}`},
		`{"eventType":"a\"b"}`: {Reference{Source: EverHad, EventType: `a"b`}, `{"eventType":"a\"b"}`},
		` {"allLeads": true} `: {Reference{Source: EveryLead}, `{"allLeads":true}`},
	} {
		got, err := DecodeReference([]byte(text), "audience")
		if err != nil || !reflect.DeepEqual(got, want.reference) {
			t.Errorf("%s is read as %+v, %v", text, got, err)
		}
		if written := string(got.AppendJSON(nil)); written != want.canonical {
			t.Errorf("%s is written %s, want %s", text, written, want.canonical)
		}
	}
}

func TestAudienceIDs(t *testing.T) {
	for id, ok := range map[string]bool{
		"a": true, "A-z_0.9": true, ".": true, "..": true, "-": true, "0123456789012345678901234567890123456789012345678901234567890123": true,
		"": false, "a/b": false, "a b": false, "é": false, "a\n": false, "\n": false, "a%2F": false, "a+b": false, "01234567890123456789012345678901234567890123456789012345678901234": false,
	} {
		if err := ValidateID(id, "audienceId"); (err == nil) != ok || err != nil && leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestReferencesRefused(t *testing.T) {
	phones := func(n int) string {
		return `{"phones":[` + strings.TrimSuffix(strings.Repeat(`"+15551234567",`, n), ",") + `]}`
	}
	for claim, c := range map[string]struct{ text, message string }{
		"missing":              {``, `audience is missing`},
		"null":                 {`null`, `audience must be an object with audienceId, phones, eventType, allLeads`},
		"none":                 {`{}`, `audience must have exactly one of audienceId, phones, eventType, allLeads; it has 0`},
		"two":                  {`{"allLeads":true,"phones":[]}`, `it has 2`},
		"one twice":            {`{"phones":[],"phones":[]}`, `audience.phones is given twice`},
		"unknown":              {`{"segment":"a"}`, `audience has the unknown field "segment"`},
		"allLeads false":       {`{"allLeads":false}`, `audience.allLeads must be true`},
		"allLeads as text":     {`{"allLeads":"true"}`, `audience.allLeads must be true`},
		"id with a slash":      {`{"audienceId":"a/b"}`, `audience.audienceId must be 1 to 64 of the characters A-Z a-z 0-9 _ . -; got "a/b"`},
		"empty id":             {`{"audienceId":""}`, `audience.audienceId must be`},
		"id of 65":             {`{"audienceId":"` + strings.Repeat("a", 65) + `"}`, `audience.audienceId must be`},
		"id with a newline":    {`{"audienceId":"a\n"}`, `audience.audienceId must be`},
		"id null":              {`{"audienceId":null}`, `audience.audienceId must be a string`},
		"empty eventType":      {`{"eventType":""}`, `audience.eventType must not be empty`},
		"phones null":          {`{"phones":null}`, `audience.phones must be an array of phones; [] is no lead`},
		"phones as text":       {`{"phones":"+15551234567"}`, `audience.phones must be an array`},
		"a phone as a number":  {`{"phones":["+15551234567",15551234567]}`, `audience.phones[1] must be a string`},
		"a phone that is none": {`{"phones":["+15551234567","hello"]}`, `audience.phones[1] is not a possible phone number`},
		"too many":             {phones(MaxPhones + 1), `audience.phones holds 100001 phones; at most 100000 are allowed`},
	} {
		t.Run(claim, func(t *testing.T) {
			got, err := DecodeReference([]byte(c.text), "audience")
			if err == nil {
				t.Fatalf("accepted as %+v", got)
			}
			if leadevents.KindOf(err) != leadevents.InvalidRequest || !strings.Contains(err.Error(), c.message) {
				t.Errorf("%v, want %q", err, c.message)
			}
			if !reflect.DeepEqual(got, Reference{}) {
				t.Errorf("%+v comes with the error: it must name nobody", got)
			}
		})
	}
	got, err := DecodeReference([]byte(phones(MaxPhones)), "audience")
	if err != nil || len(got.Phones) != 1 {
		t.Errorf("100,000 phones: %d leads, %v", len(got.Phones), err)
	}
}

// The texts of a request's body reach the codec through encoding/json as well.
func TestFiltersAndReferencesInsideOtherJSON(t *testing.T) {
	var f Filter
	err := f.UnmarshalJSON([]byte(`{"mode":"include"}`))
	if err == nil || err.Error() != "filter.eventType is missing" || !reflect.DeepEqual(f, Filter{}) {
		t.Errorf("%v, %+v", err, f)
	}
	if err := f.UnmarshalJSON([]byte(`{"mode":"include","eventType":"<a>"}`)); err != nil {
		t.Fatal(err)
	}
	if text, err := f.MarshalJSON(); err != nil || string(text) != `{"mode":"include","eventType":"<a>"}` {
		t.Errorf("%s, %v", text, err)
	}
	var r Reference
	if err := r.UnmarshalJSON([]byte(`{}`)); err == nil || !strings.HasPrefix(err.Error(), "audience must have") {
		t.Error(err)
	}
	if err := r.UnmarshalJSON([]byte(`{"allLeads":true}`)); err != nil || r.Source != EveryLead {
		t.Errorf("%+v, %v", r, err)
	}
	if text, err := r.MarshalJSON(); err != nil || string(text) != `{"allLeads":true}` {
		t.Errorf("%s, %v", text, err)
	}
	if text := string(Reference{}.AppendJSON(nil)); text != "null" {
		t.Errorf("nobody is written %s", text)
	}
}

// BenchmarkFilterCodec reads a send's filters and writes them, as each send does.
func BenchmarkFilterCodec(b *testing.B) {
	raw := []byte(`[{"mode":"exclude","eventType":"mastery_purchase"},{"mode":"include","eventType":"webinar","within":{"minutes":120},"minCount":2,"where":[{"path":"order.currency","op":"in","value":["USD","EUR"]},{"path":"amount","op":"gte","value":99.5}]}]`)
	var written []byte
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		filters, err := DecodeFilters(raw, "eventFilters")
		if err != nil {
			b.Fatal(err)
		}
		if err := ValidateFilters(filters, "eventFilters"); err != nil {
			b.Fatal(err)
		}
		if written = AppendFilters(written[:0], filters); len(written) == 0 {
			b.Fatal("nothing was written")
		}
	}
}
