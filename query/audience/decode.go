package audience

import (
	"slices"
	"strings"

	"leadevents"
)

// DecodeFilters reads a JSON array of filters, strictly. at names the array in
// the errors ("eventFilters"). Errors are leadevents.InvalidJSON where raw is
// not JSON in UTF-8, else InvalidRequest; an empty raw is a missing field.
func DecodeFilters(raw []byte, at string) ([]Filter, error) {
	raw, err := checked(raw, at)
	if err != nil {
		return nil, err
	}
	if raw[0] != '[' {
		return nil, refuse(at, "must be an array of filters; [] filters nothing")
	}
	n := count(raw)
	if n > MaxFilters { // before any of them is read
		return nil, refuse(at, "holds %d filters; at most %d are allowed", n, MaxFilters)
	}
	filters := make([]Filter, 0, n)
	for i, e := range elements(raw) {
		f, err := decodeFilter(e, index(at, i))
		if err != nil {
			return nil, err
		}
		filters = append(filters, f)
	}
	return filters, nil
}

// DecodeFilter reads one filter, as [DecodeFilters] does.
func DecodeFilter(raw []byte, at string) (Filter, error) {
	raw, err := checked(raw, at)
	if err != nil {
		return Filter{}, err
	}
	return decodeFilter(raw, at)
}

// UnmarshalJSON reads a filter as [DecodeFilter] does, under the name "filter".
func (f *Filter) UnmarshalJSON(raw []byte) error {
	read, err := DecodeFilter(raw, "filter")
	if err == nil {
		*f = read
	}
	return err
}

func decodeFilter(raw []byte, at string) (Filter, error) {
	fields, err := object(raw, at, "mode", "eventType", "within", "minCount", "where")
	if err != nil {
		return Filter{}, err
	}
	f := Filter{MinCount: 1}
	mode, err := fields.text("mode")
	if err != nil {
		return Filter{}, err
	}
	f.Mode = Mode(mode)
	if f.EventType, err = fields.text("eventType"); err != nil {
		return Filter{}, err
	}
	if within, given := fields.values["within"]; given {
		window, err := object(within, at+".within", "minutes")
		if err != nil {
			return Filter{}, err
		}
		minutes, given := window.values["minutes"]
		if !given {
			return Filter{}, refuse(at+".within.minutes", "is missing")
		}
		n, ok := decodeCount(minutes, MaxMinutes)
		if !ok {
			return Filter{}, refuseMinutes(at + ".within.minutes")
		}
		f.Within = &n
	}
	if minCount, given := fields.values["minCount"]; given {
		var ok bool
		if f.MinCount, ok = decodeCount(minCount, MaxMinCount); !ok {
			return Filter{}, refuseMinCount(at + ".minCount")
		}
	}
	if where, given := fields.values["where"]; given {
		if f.Where, err = decodeConditions(where, at+".where"); err != nil {
			return Filter{}, err
		}
	}
	if err := f.Validate(at); err != nil {
		return Filter{}, err
	}
	return f, nil
}

// decodeConditions reads a filter's where. An empty list is the same as none.
func decodeConditions(raw []byte, at string) ([]Condition, error) {
	if raw[0] != '[' {
		return nil, refuse(at, "must be an array of conditions")
	}
	if n := count(raw); n > MaxConditions {
		return nil, refuse(at, "holds %d conditions; at most %d are allowed", n, MaxConditions)
	}
	var conditions []Condition
	for i, e := range elements(raw) {
		c, err := decodeCondition(e, index(at, i))
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, c)
	}
	return conditions, nil
}

func decodeCondition(raw []byte, at string) (Condition, error) {
	fields, err := object(raw, at, "path", "op", "value")
	if err != nil {
		return Condition{}, err
	}
	var c Condition
	if c.Path, err = fields.text("path"); err != nil {
		return Condition{}, err
	}
	op, err := fields.text("op")
	if err != nil {
		return Condition{}, err
	}
	c.Op = Op(op)
	if value, given := fields.values["value"]; given {
		if c.Value, err = decodeValue(value, at+".value"); err != nil {
			return Condition{}, err
		}
	}
	return c, nil // Validate follows, with the whole filter
}

// decodeCount reads a whole number from 1 to limit, however it is written:
// 120, 120.0 and 1.2e2 are one number.
func decodeCount(raw []byte, limit int) (int, bool) {
	v, _ := parseScalarOrNone(raw)
	n := v.Number
	if v.Kind != NumberValue || !n.integer || n.negative || n.mag < 1 || n.mag > uint64(limit) {
		return 0, false
	}
	return int(n.mag), true
}

// parseScalarOrNone is parseScalar, and NoValue for an array or object.
func parseScalarOrNone(raw []byte) (Value, bool) {
	if raw[0] == '{' || raw[0] == '[' {
		return Value{}, true
	}
	return parseScalar(raw)
}

// checked is raw without the space around it, if it is JSON at all.
func checked(raw []byte, at string) ([]byte, error) {
	raw = trimSpace(raw)
	if len(raw) == 0 {
		return nil, refuse(at, "is missing")
	}
	if !validJSON(raw) {
		return nil, leadevents.Errorf(leadevents.InvalidJSON, "%s is not JSON in UTF-8", at)
	}
	return raw, nil
}

// record is a JSON object of known fields.
type record struct {
	at     string
	values map[string][]byte
}

// object reads an object that may have the known fields, each once, and no
// others.
func object(raw []byte, at string, known ...string) (record, error) {
	if raw[0] != '{' {
		return record{}, refuse(at, "must be an object with %s", strings.Join(known, ", "))
	}
	r := record{at: at, values: make(map[string][]byte, len(known))}
	for m := range members(raw) {
		name := unquote(m.key)
		if !slices.Contains(known, name) {
			return record{}, refuse(at, "has the unknown field %s; known are %s", quoted(name), strings.Join(known, ", "))
		}
		if _, twice := r.values[name]; twice {
			return record{}, refuse(at+"."+name, "is given twice")
		}
		r.values[name] = m.value
	}
	return r, nil
}

func (r record) has(name string) bool { _, given := r.values[name]; return given }

// text is a field that must be a string.
func (r record) text(name string) (string, error) {
	raw, given := r.values[name]
	if !given {
		return "", refuse(r.at+"."+name, "is missing")
	}
	if raw[0] != '"' {
		return "", refuse(r.at+"."+name, "must be a string")
	}
	return unquote(raw), nil
}
