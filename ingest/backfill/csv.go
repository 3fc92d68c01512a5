package backfill

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"leadevents"
	"leadevents/internal/rawjson"
)

// Refusals of CSV.
const (
	refusedQuote = "a quote is not closed, or something follows it that is no delimiter"
)

// csvReader reads records by RFC 4180, with any of four delimiters and with LF as
// well as CRLF. A quote inside of a cell that does not begin with one stands for
// itself, as in 5" screens.
//
// Not encoding/csv: it allocates a string a record and says no more than that
// a quote is wrong somewhere; then the rest of the file may be one cell. Here
// the line where such a record begins is refused, and the next line is a row
// again.
type csvReader struct {
	*shaper
	window
	rows      uint64
	delimiter byte
	columns   []csvColumn
	order     []int // columns of the metadata, in their order
	phoneAt   int
	timeAt    int
	typeAt    int // -1: none
	jsonAt    int // the column that is the metadata; -1: none

	record []byte // the current record
	began  uint64 // the line where it begins, from 1
	cut    bool   // the text ends in it, without a line feed
	cells  []cell
	plain  []byte // cells without their doubled quotes
	scan   rawjson.Scanner
}

// cell is a cell's place in the record, or in plain.
type cell struct {
	start, end int
	doubled    bool // its quotes were doubled: it is in plain
}

// csvColumn is a column's name as a JSON field, and what it is for.
type csvColumn struct {
	key  []byte // `"name":`
	role csvRole
}

type csvRole uint8

const (
	roleOther csvRole = iota // only in Raw
	roleEvent                // phone, time, type
	roleMeta
)

// newCSV reads the header. Of an empty file there is none, and no row either.
func newCSV(name string, s *shaper, w window) (*csvReader, error) {
	c := &csvReader{shaper: s, window: w}
	for found := false; ; c.fill() {
		if c.delimiter, found = delimiterOf(c.text()); found || c.ended() || len(c.text()) > MaxLine+2 {
			break
		}
	}
	switch got, err := c.read(); {
	case err != nil:
		return c, nil // an empty file, or one that cannot be read on: next says so
	case got != whole || !utf8.Valid(c.record):
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "the header of %s cannot be read: it must be one line of UTF-8, at most 1 MiB, with the columns' names", name)
	}
	names := make([]string, len(c.cells))
	for i := range c.cells {
		if names[i] = string(bytes.TrimSpace(c.cell(i))); names[i] == "" { // as of an index, or behind a last comma
			names[i] = fmt.Sprintf("column%d", i+1)
		}
	}
	cols, err := tellColumns(name, names, false, s.mapping, c.isObject)
	if err != nil {
		return nil, err
	}
	for i, column := range names {
		if slices.Index(names, column) != i {
			return nil, leadevents.Errorf(leadevents.InvalidRequest, "%s has two columns %q", name, column)
		}
	}
	c.assign(names, cols)
	return c, nil
}

// assign notes which column is what.
func (c *csvReader) assign(names []string, cols columns) {
	at := func(name string) int {
		if name == "" {
			return -1
		}
		return slices.Index(names, name)
	}
	c.phoneAt, c.timeAt, c.typeAt, c.jsonAt = at(cols.phone), at(cols.occurredAt), at(cols.eventType), at(cols.metadata)
	c.columns = make([]csvColumn, len(names))
	for i, name := range names {
		column := csvColumn{key: append(rawjson.AppendQuoted(nil, []byte(name)), ':')}
		switch {
		case i == c.phoneAt || i == c.timeAt || i == c.typeAt:
			column.role = roleEvent
		case cols.none || cols.chosen != nil || cols.metadata != "":
		default:
			column.role = roleMeta
			c.order = append(c.order, i)
		}
		c.columns[i] = column
	}
	for _, name := range cols.chosen {
		c.order = append(c.order, at(name))
		if i := at(name); c.columns[i].role == roleOther {
			c.columns[i].role = roleMeta
		}
	}
}

// isObject tells whether the column has JSON objects, or nothing, in the first
// 100 rows of the first 64 KiB behind the header.
func (c *csvReader) isObject(column string) bool {
	// The rows behind the header, in a reader of their own.
	at := -1
	for i := range c.cells {
		if string(bytes.TrimSpace(c.cell(i))) == column {
			at = i
		}
	}
	rows := csvReader{shaper: c.shaper, delimiter: c.delimiter, window: c.beginning()}
	objects := 0
	for range 100 {
		got, err := rows.read()
		if err != nil {
			break
		}
		if got != whole || at >= len(rows.cells) || len(rows.cell(at)) == 0 {
			continue
		}
		if rows.object(&rows.scan, rows.cell(at)) == nil {
			return false
		}
		objects++
	}
	return objects > 0
}

func (c *csvReader) next(row *Row) error {
	got, err := c.read()
	if err != nil {
		return err
	}
	c.rows++
	row.Line = c.began
	switch {
	case got == more:
		c.brokenText(row, c.record[:min(len(c.record), MaxRaw)], refusedLong, "")
	case got == badQuote:
		c.brokenText(row, c.record, refusedQuote, "")
	case !utf8.Valid(c.record):
		c.brokenText(row, c.record, refusedUTF8, hintUTF8)
	case len(c.cells) != len(c.columns):
		c.brokenText(row, c.record, fmt.Sprintf("%d columns, the header has %d", len(c.cells), len(c.columns)), c.hintOfEnd())
	default:
		c.shape(row)
	}
	return nil
}

func (c *csvReader) hintOfEnd() string {
	if len(c.cells) < len(c.columns) && c.cut {
		return hintCut
	}
	return ""
}

func (c *csvReader) skip(rows uint64) error {
	for c.rows < rows {
		if _, err := c.read(); err != nil {
			return err
		}
		c.rows++
	}
	return nil
}
