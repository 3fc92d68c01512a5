package audience

import "strconv"

// AppendFilters appends the filters' canonical JSON: fields in the contract's
// order, defaults and empty lists left out, numbers and strings in one spelling
// each, no space. Filters that mean the same field by field are the same bytes,
// which is how sends are stored and compared.
func AppendFilters(b []byte, filters []Filter) []byte {
	b = append(b, '[')
	for i, f := range filters {
		if i > 0 {
			b = append(b, ',')
		}
		b = f.AppendJSON(b)
	}
	return append(b, ']')
}

// AppendJSON appends the filter's canonical JSON.
func (f Filter) AppendJSON(b []byte) []byte {
	b = appendString(append(b, `{"mode":`...), string(f.Mode))
	b = appendString(append(b, `,"eventType":`...), f.EventType)
	if f.Within != nil {
		b = strconv.AppendInt(append(b, `,"within":{"minutes":`...), int64(*f.Within), 10)
		b = append(b, '}')
	}
	if f.MinCount != 1 {
		b = strconv.AppendInt(append(b, `,"minCount":`...), int64(f.MinCount), 10)
	}
	if len(f.Where) > 0 {
		b = appendConditions(append(b, `,"where":`...), f.Where)
	}
	return append(b, '}')
}

func appendConditions(b []byte, conditions []Condition) []byte {
	b = append(b, '[')
	for i, c := range conditions {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"path":`...), c.Path)
		b = appendString(append(b, `,"op":`...), string(c.Op))
		b = append(c.Value.appendJSON(append(b, `,"value":`...)), '}')
	}
	return append(b, ']')
}

// MarshalJSON is the canonical JSON (which encoding/json may escape further).
func (f Filter) MarshalJSON() ([]byte, error) { return f.AppendJSON(nil), nil }
