package upload

import (
	"bytes"
	"io"
	"strings"

	"leadevents"
)

// csvReader reads CSV as encoding/csv does with its defaults, and twice as fast,
// since it makes no strings and copies no fields but quoted ones. Unlike that it
// leaves a CRLF inside of quotes as it is: an externalId is kept as sent.
type csvReader struct {
	lines   lines
	crlf    bool // the last line ended so
	columns int
	phone   int // the column
	id      int // the column, -1 for none

	fields [][]byte
	whole  []byte // a record with quotes, unquoted
	ends   []int  // where in whole each field ends
}

// newCSV reads the header.
func newCSV(body io.Reader) (*csvReader, error) {
	r := &csvReader{lines: newLines(body)}
	if mark, err := r.lines.r.Peek(3); err == nil && string(mark) == "\uFEFF" {
		_, _ = r.lines.r.Discard(3)
	}
	header, err := r.record()
	if err == io.EOF {
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "the CSV is empty: a row that names its columns was expected, phoneE164 or phone among them")
	}
	if err != nil {
		return nil, err
	}
	r.columns, r.phone, r.id = len(header), -1, -1
	for i, name := range header {
		at := &r.phone
		switch strings.ToLower(strings.TrimSpace(string(name))) {
		case "phonee164", "phone":
		case "externalid":
			at = &r.id
		default:
			continue
		}
		if *at >= 0 {
			return nil, r.lines.refuse(leadevents.InvalidRequest, "the columns %s and %s name the same; there must be one of them", shown(header[*at]), shown(name))
		}
		*at = i
	}
	if r.phone < 0 {
		return nil, r.lines.refuse(leadevents.InvalidRequest, "the CSV has no column phoneE164 or phone; its first row names %s", shownAll(header))
	}
	return r, nil
}

// Next implements Reader.
func (r *csvReader) Next(lead *Lead) error {
	fields, err := r.record()
	if err != nil {
		return err
	}
	if len(fields) != r.columns {
		return r.lines.refuse(leadevents.InvalidRequest, "the row has %d fields, but the first row names %d columns", len(fields), r.columns)
	}
	*lead = Lead{Phone: fields[r.phone], HasPhone: true}
	if r.id >= 0 {
		lead.ExternalID = fields[r.id]
	}
	return nil
}

// record is the fields of the next record; they are valid until the next call.
func (r *csvReader) record() ([][]byte, error) {
	line, err := r.line()
	for err == nil && len(line) == 1 && line[0] == '\n' {
		line, err = r.line()
	}
	if err != nil {
		return nil, err
	}
	r.fields = r.fields[:0]
	if bytes.IndexByte(line, '"') >= 0 {
		return r.quoted(line)
	}
	if line[len(line)-1] == '\n' {
		line = line[:len(line)-1]
	}
	for {
		i := bytes.IndexByte(line, ',')
		if i < 0 {
			r.fields = append(r.fields, line)
			return r.fields, nil
		}
		r.fields = append(r.fields, line[:i])
		line = line[i+1:]
	}
}

// line is the next line, its end made "\n"; the last one of a body that ends
// without has none, and loses a "\r".
func (r *csvReader) line() ([]byte, error) {
	line, err := r.lines.next()
	if err != nil {
		return nil, err
	}
	r.crlf = false
	switch n := len(line); {
	case n >= 2 && line[n-2] == '\r' && line[n-1] == '\n':
		r.crlf = true
		line[n-2] = '\n'
		line = line[:n-1]
	case line[n-1] == '\r':
		line = line[:n-1]
		if len(line) == 0 {
			return r.line() // the end
		}
	}
	return line, nil
}

// quoted reads a record that has quotes, over as many lines as it takes.
func (r *csvReader) quoted(line []byte) ([][]byte, error) {
	r.whole, r.ends = r.whole[:0], r.ends[:0]
	first, size := r.lines.number, len(line)
	for {
		if len(line) == 0 || line[0] != '"' {
			i := bytes.IndexByte(line, ',')
			field := bytes.TrimSuffix(line, []byte("\n"))
			if i >= 0 {
				field = line[:i]
			}
			if bytes.IndexByte(field, '"') >= 0 {
				return nil, r.lines.refuse(leadevents.InvalidRequest, "a field that does not begin with a quote has one in it")
			}
			r.whole = append(r.whole, field...)
			if i < 0 {
				return r.cut(), nil
			}
			r.ends, line = append(r.ends, len(r.whole)), line[i+1:]
			continue
		}
		line = line[1:]
	field:
		for {
			i := bytes.IndexByte(line, '"')
			if i < 0 { // it goes on in the next line
				r.whole = append(r.whole, line...)
				if r.crlf {
					r.whole = append(r.whole[:len(r.whole)-1], '\r', '\n')
				}
				next, err := r.line()
				if err == io.EOF {
					return nil, leadevents.Errorf(leadevents.InvalidRequest, "line %d: a quoted field does not end", first)
				}
				if err != nil {
					return nil, err
				}
				if line, size = next, size+len(next); size > MaxRow {
					return nil, leadevents.Errorf(leadevents.InvalidRequest, "line %d: the row is longer than %d bytes", first, MaxRow)
				}
				continue
			}
			r.whole, line = append(r.whole, line[:i]...), line[i+1:]
			switch {
			case len(line) == 0, line[0] == '\n':
				return r.cut(), nil
			case line[0] == '"':
				r.whole, line = append(r.whole, '"'), line[1:]
			case line[0] == ',':
				r.ends, line = append(r.ends, len(r.whole)), line[1:]
				break field
			default:
				return nil, r.lines.refuse(leadevents.InvalidRequest, "after a quoted field there is neither a comma nor the end of the line; a quote in it is written twice")
			}
		}
	}
}

// cut is the fields of a record that quoted has read.
func (r *csvReader) cut() [][]byte {
	r.ends = append(r.ends, len(r.whole))
	start := 0
	for _, end := range r.ends {
		r.fields = append(r.fields, r.whole[start:end:end])
		start = end
	}
	return r.fields
}

// What a message repeats of a header, which a client may have made of anything.
const (
	shownRunes   = 40
	shownColumns = 10
)

func shown(name []byte) string {
	text := []rune(string(name))
	if len(text) > shownRunes {
		text = append(text[:shownRunes], '…')
	}
	return `"` + string(text) + `"`
}

func shownAll(names [][]byte) string {
	var all []string
	for _, name := range names[:min(len(names), shownColumns)] {
		all = append(all, shown(name))
	}
	if len(names) > shownColumns {
		all = append(all, "…")
	}
	return strings.Join(all, ", ")
}
