package backfill

import (
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"leadevents"
)

// shape makes an event of the row whose values are set. As of CSV, what is
// stored is written as JSON once, and copied to Raw.
func (r *parquetReader) shape(row *Row) {
	r.values.bad = false
	r.meta = append(r.meta[:0], '{')
	for _, n := range r.order {
		r.meta = r.appendField(r.meta, n)
	}
	fields := r.meta[1:] // each with a comma behind it
	object, isObject := r.jsonObject()

	r.raw = append(r.raw[:0], '{')
	rest := false
	for i, n := range r.columns {
		switch {
		case r.stored[i]:
			rest = true
		case n == r.jsonNode && object != nil:
			r.raw = append(append(append(r.raw, n.key...), object...), ',')
		default:
			r.raw = r.appendField(r.raw, n)
		}
	}
	if rest {
		r.raw = append(r.raw, fields...)
	}
	if n := len(r.raw); n > 1 {
		r.raw[n-1] = '}'
	} else {
		r.raw = append(r.raw, '}')
	}
	if len(r.raw) > MaxLine {
		r.cells[0] = append(r.cells[0][:0], r.raw[:MaxRaw]...)
		r.brokenText(row, r.cells[0], refusedLong, "")
		return
	}
	row.Raw = r.raw
	phone, eventType := r.text(0, r.phoneNode), r.text(1, r.typeNode)
	if r.values.bad || !utf8.Valid(phone) || !utf8.Valid(eventType) {
		refuse(row, refusedUTF8, hintUTF8)
		return
	}
	r.setEvent(row, phone, eventType)
	switch {
	case row.Refused != "":
	case !isObject:
		row.Hint = hintMetadata
		r.refuse(row, leadevents.ReasonInvalidMetadata)
	case object != nil:
		row.Metadata = object
	case len(fields) > 0:
		r.meta[len(r.meta)-1] = '}'
		row.Metadata = r.meta
	}
}

// setEvent is event, with times that are no texts.
func (r *parquetReader) setEvent(row *Row, phone, eventType []byte) {
	v := r.only(r.timeNode)
	if v == nil || r.timeNode.instant == nil {
		r.event(row, phone, r.text(2, r.timeNode), eventType)
		return
	}
	t, zoned := r.timeNode.instant(v)
	r.eventAt(row, phone, t, zoned, eventType)
}

// appendField appends a column with a comma behind it, unless it is null.
func (r *parquetReader) appendField(dst []byte, n *parquetNode) []byte {
	r.values.rewind(n)
	if !n.repeated && r.values.isNull(n) {
		return dst
	}
	dst = append(dst, n.key...)
	return append(r.values.append(dst, n), ',')
}

// jsonObject is the column that is the metadata; nil where it is null or there is
// none. A text that is no object is not ok.
func (r *parquetReader) jsonObject() (object []byte, ok bool) {
	n := r.jsonNode
	if n == nil {
		return nil, true
	}
	r.values.rewind(n)
	if r.values.isNull(n) {
		return nil, true
	}
	if n.form == formLeaf {
		text := r.values.of[n.first][0].ByteArray()
		if len(text) == 0 {
			return nil, true
		}
		if !utf8.Valid(text) {
			r.values.bad = true
		}
		object = r.object(&r.scan, text)
		return object, object != nil
	}
	r.meta = r.values.append(r.meta[:0], n)
	return r.meta, true
}

// only is the value of a leaf, nil if it is null or there is no such leaf.
func (r *parquetReader) only(n *parquetNode) *parquet.Value {
	if n == nil {
		return nil
	}
	r.values.rewind(n)
	if r.values.isNull(n) {
		return nil
	}
	return &r.values.of[n.first][0]
}

// text is a leaf's value as a cell of CSV would have it: bytes are taken for
// text, as old writers do not say what is one.
func (r *parquetReader) text(which int, n *parquetNode) []byte {
	v := r.only(n)
	if v == nil {
		return nil
	}
	if n.text || n.bytes {
		return v.ByteArray()
	}
	cell := n.value(r.cells[which][:0], v)
	r.cells[which] = cell
	if len(cell) > 1 && cell[0] == '"' { // a UUID, a time of day
		cell = cell[1 : len(cell)-1]
	}
	return cell
}
