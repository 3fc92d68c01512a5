package backfill

import (
	"leadevents"
	"leadevents/internal/rawjson"
)

// shape makes an event of the record. What is stored is written as JSON once:
// Raw is the other columns, followed by a copy of it.
func (c *csvReader) shape(row *Row) {
	var stored, object []byte // the metadata's fields, each with a comma behind it; or all of it
	if c.jsonAt >= 0 {
		object = c.object(&c.scan, c.cell(c.jsonAt))
	} else {
		c.meta = append(c.meta[:0], '{')
		for _, i := range c.order {
			if text := c.cell(i); len(text) > 0 {
				c.meta = append(c.meta, c.columns[i].key...)
				c.meta = append(c.appendCell(c.meta, text), ',')
			}
		}
		stored = c.meta[1:]
	}

	c.raw = append(c.raw[:0], '{')
	for i := range c.columns {
		text, role := c.cell(i), c.columns[i].role
		if role == roleMeta || role == roleOther && len(text) == 0 {
			continue
		}
		c.raw = append(c.raw, c.columns[i].key...)
		if i == c.jsonAt && object != nil {
			c.raw = append(c.raw, object...)
		} else {
			c.raw = rawjson.AppendQuoted(c.raw, text)
		}
		c.raw = append(c.raw, ',')
	}
	c.raw = append(c.raw, stored...)
	c.raw[len(c.raw)-1] = '}' // in place of a comma: phone and time are always there
	row.Raw = c.raw

	var eventType []byte
	if c.typeAt >= 0 {
		eventType = c.cell(c.typeAt)
	}
	c.event(row, c.cell(c.phoneAt), c.cell(c.timeAt), eventType)
	switch {
	case row.Refused != "":
	case object != nil:
		row.Metadata = object
	case c.jsonAt >= 0 && len(c.cell(c.jsonAt)) > 0:
		row.Hint = hintMetadata
		c.refuse(row, leadevents.ReasonInvalidMetadata)
	case len(stored) > 0:
		c.meta[len(c.meta)-1] = '}'
		row.Metadata = c.meta
	}
}

// appendCell appends a cell's text as JSON.
func (c *csvReader) appendCell(dst, text []byte) []byte {
	if c.mapping.Typed {
		if string(text) == "true" || string(text) == "false" {
			return append(dst, text...)
		}
		if text[0] == '-' || text[0]-'0' <= 9 {
			c.scan.Begin(text)
			if c.scan.Value(0, 1) == len(text) {
				return append(dst, text...)
			}
		}
	}
	return rawjson.AppendQuoted(dst, text)
}
