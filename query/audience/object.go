package audience

import (
	"iter"
	"slices"
	"strings"

	"leadevents"
)

// Object is a JSON object that was read strictly: it has only fields that its reader
// knows, each once. Package report reads its questions with it, in the words of filters.
type Object struct{ record }

// ReadObject reads the object in raw; at names it in the errors, "" is the body itself.
// Errors are leadevents.InvalidJSON where raw is not JSON in UTF-8, or a field of
// the body is given twice, else InvalidRequest.
func ReadObject(raw []byte, at string, known ...string) (Object, error) {
	name := at
	if at == "" {
		name = "the body"
	}
	raw, err := checked(raw, name)
	if err != nil {
		return Object{}, err
	}
	if raw[0] != '{' {
		return Object{}, refuse(name, "must be an object with %s", strings.Join(known, ", "))
	}
	r := record{at: at, values: make(map[string][]byte, len(known))}
	for m := range members(raw) {
		field := unquote(m.key)
		_, twice := r.values[field]
		switch {
		case !slices.Contains(known, field):
			return Object{}, refuse(name, "has the unknown field %s; known are %s", quoted(field), strings.Join(known, ", "))
		case twice && at == "":
			return Object{}, leadevents.Errorf(leadevents.InvalidJSON, "the field %s is given twice", quoted(field))
		case twice:
			return Object{}, refuse(at+"."+field, "is given twice")
		}
		r.values[field] = m.value
	}
	return Object{r}, nil
}

// Place is how errors name a field.
func (o Object) Place(name string) string {
	if o.at == "" {
		return name
	}
	return o.at + "." + name
}

// Has tells whether the field is given; null is given, and of no type that is asked
// for here.
func (o Object) Has(name string) bool { return o.has(name) }

// Raw is the field's JSON, nil if it is not given.
func (o Object) Raw(name string) []byte { return o.values[name] }

// Missing is the error of a field that must be given.
func (o Object) Missing(name string) error { return refuse(o.Place(name), "is missing") }

// Refuse is an error about a field.
func (o Object) Refuse(name, format string, args ...any) error {
	return refuse(o.Place(name), format, args...)
}

// Text is a field that must be given and a string.
func (o Object) Text(name string) (string, error) {
	raw, given := o.values[name]
	switch {
	case !given:
		return "", o.Missing(name)
	case raw[0] != '"':
		return "", o.Refuse(name, "must be a string")
	}
	return unquote(raw), nil
}

// Flag is a field that is true or false; not given is false.
func (o Object) Flag(name string) (bool, error) {
	raw, given := o.values[name]
	if given && raw[0] != 't' && raw[0] != 'f' {
		return false, o.Refuse(name, "must be true or false")
	}
	return given && raw[0] == 't', nil
}

// Count is a field that is a whole number from 1 to most; not given is fallback, and
// without one (0) an error.
func (o Object) Count(name string, fallback, most int) (int, error) {
	raw, given := o.values[name]
	if !given {
		if fallback == 0 {
			return 0, o.Missing(name)
		}
		return fallback, nil
	}
	n, ok := decodeCount(raw, most)
	if !ok {
		return 0, o.Refuse(name, "must be a whole number from 1 to %d", most)
	}
	return n, nil
}

// Moment is a field that must be given and a time.
func (o Object) Moment(name string) (leadevents.Millis, error) {
	text, err := o.Text(name)
	if err != nil {
		return 0, err
	}
	at, ok := leadevents.ParseMillis([]byte(text))
	if !ok {
		return 0, o.Refuse(name, "must be a time as RFC 3339 with an offset, from 1970 to before 2100")
	}
	return at, nil
}

// List is a field that must be given and an array of least to most elements; what
// names them in the error ("steps"). The elements come with the names of their places.
func (o Object) List(name, what string, least, most int) (iter.Seq2[string, []byte], error) {
	raw, given := o.values[name]
	switch {
	case !given:
		return nil, o.Missing(name)
	case raw[0] != '[':
		return nil, o.Refuse(name, "must be an array of %s", what)
	}
	if n := count(raw); n < least || n > most { // before one of them is read
		return nil, o.Refuse(name, "holds %d %s; it must be %d to %d", n, what, least, most)
	}
	place := o.Place(name)
	return func(yield func(string, []byte) bool) {
		for i, e := range elements(raw) {
			if !yield(index(place, i), e) {
				return
			}
		}
	}, nil
}

// Conditions is a field with the where of a filter; not given is none.
func (o Object) Conditions(name string) ([]Condition, error) {
	raw, given := o.values[name]
	if !given {
		return nil, nil
	}
	place := o.Place(name)
	conditions, err := decodeConditions(raw, place)
	if err != nil {
		return nil, err
	}
	return conditions, ValidateConditions(conditions, place)
}

// AppendJSON appends the value's canonical JSON.
func (v Value) AppendJSON(b []byte) []byte { return v.appendJSON(b) }

// Quoted is what a client sent, in quotes, cut at 64 characters.
func Quoted(s string) string { return quoted(s) }

// ScalarOf reads one JSON value: a scalar as conditions read it, an array or object as
// NoValue. raw must be valid JSON.
func ScalarOf(raw []byte) Value {
	v, _ := parseScalarOrNone(raw)
	return v
}

// ValidateConditions checks conditions as [Filter.Validate] does.
func ValidateConditions(conditions []Condition, at string) error {
	if len(conditions) > MaxConditions {
		return refuse(at, "holds %d conditions; at most %d are allowed", len(conditions), MaxConditions)
	}
	for i, c := range conditions {
		if err := c.validate(index(at, i)); err != nil {
			return err
		}
	}
	return nil
}

// ValidatePath checks the path of a condition; at names it in the error.
func ValidatePath(path, at string) error { return validatePath(path, at) }

// ValidateEventType checks an event type; at names it in the error.
func ValidateEventType(eventType, at string) error { return validateEventType(eventType, at) }

// AppendConditions appends the canonical JSON of a where.
func AppendConditions(b []byte, conditions []Condition) []byte {
	return appendConditions(b, conditions)
}

// ValueAt is the value at a path of metadata, as conditions read it: NoValue where it is
// missing or null, and of an array or object the kind alone. Of a number beyond
// float64 it is the largest one.
func ValueAt(metadata []byte, path string) Value {
	if !validJSON(metadata) {
		return Value{}
	}
	raw, found := lookup(metadata, strings.Split(path, "."))
	if !found || raw[0] == 'n' {
		return Value{}
	}
	switch raw[0] {
	case '{':
		return Value{Kind: ObjectValue}
	case '[':
		return Value{Kind: ArrayValue}
	}
	v, _ := parseScalar(raw)
	return v
}
