package backfill

import (
	"bytes"
	"fmt"
	"io"
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

// Outcomes of split.
type outcome uint8

const (
	whole outcome = iota
	more          // the text ends in the record
	badQuote
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
		names[i] = string(bytes.TrimSpace(c.cell(i)))
	}
	cols, err := tellColumns(name, names, false, s.mapping, c.isObject)
	if err != nil {
		return nil, err
	}
	for i, column := range names {
		if column != "" && slices.Index(names, column) != i {
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

// delimiterOf is the delimiter that the header has most of, outside of quotes;
// the comma if there is none. Whole tells that the header is.
func delimiterOf(head []byte) (_ byte, whole bool) {
	var counts [256]int
	quoted := false
	for i, b := range head {
		if b == '"' {
			quoted = !quoted
		}
		if b == '\n' && !quoted && len(bytes.TrimLeft(head[:i], "\r\n")) > 0 {
			whole = true
			break
		}
		if !quoted {
			counts[b]++
		}
	}
	best := byte(',')
	for _, b := range []byte(";\t|") {
		if counts[b] > counts[best] {
			best = b
		}
	}
	return best, whole
}

// cell is a cell's text, without quotes.
func (c *csvReader) cell(i int) []byte {
	p := c.cells[i]
	if p.doubled {
		return c.plain[p.start:p.end]
	}
	return c.record[p.start:p.end]
}

// read takes the next record that is not an empty line. Unless it is whole, it is
// the line where a record begins that is none.
func (c *csvReader) read() (outcome, error) {
	for {
		text := c.text()
		n, lines, got := c.split(text, c.err == io.EOF)
		switch {
		case got == more && len(text) <= MaxLine+2 && !c.ended():
			c.fill()
			continue
		case got == whole && n == 0, got == more && c.ended() && c.err != io.EOF:
			return whole, c.err
		case got == whole && n <= MaxLine+2:
			c.began, c.cut = c.lines+1, text[n-1] != '\n'
			c.take(n, lines)
			if len(c.record) == 0 {
				continue
			}
			return whole, nil
		}
		// The line alone. Whether it is the quote or the length must not depend on
		// how much of the text happens to be there.
		c.began = c.lines + 1
		line, long, _, err := c.line()
		if err != nil {
			return whole, err
		}
		c.record = line
		if long || got == more || n > MaxLine+2 {
			return more, nil
		}
		return badQuote, nil
	}
}

// split cuts the record that begins text into cells; n is its length with its
// end, or as far as it was looked at; lines how many it spans. Last tells that
// nothing follows text.
func (c *csvReader) split(text []byte, last bool) (n, lines int, got outcome) {
	c.cells, c.plain = c.cells[:0], c.plain[:0]
	end := bytes.IndexByte(text, '\n')
	n = end + 1
	if end < 0 {
		if !last && bytes.IndexByte(text, '"') < 0 {
			return len(text), 0, more
		}
		end, n = len(text), len(text)
	}
	c.record = trimReturn(text[:end])
	if bytes.IndexByte(c.record, '"') < 0 {
		start := 0
		for {
			i := bytes.IndexByte(c.record[start:], c.delimiter)
			if i < 0 {
				break
			}
			c.cells = append(c.cells, cell{start: start, end: start + i})
			start += i + 1
		}
		c.cells = append(c.cells, cell{start: start, end: len(c.record)})
		return n, 1, whole
	}
	return c.splitQuoted(text, last)
}

// splitQuoted is split of a record with quotes, which may span lines.
func (c *csvReader) splitQuoted(text []byte, last bool) (n, lines int, got outcome) {
	i := 0
	for {
		p := cell{start: i}
		if i < len(text) && text[i] == '"' {
			i, got = c.quotedCell(text, i+1, last, &p, &lines)
			if got != whole {
				return i, lines, got
			}
		} else {
			j := i
			for j < len(text) && text[j] != c.delimiter && text[j] != '\n' {
				j++
			}
			if j == len(text) && !last {
				return j, lines, more
			}
			p.end = j
			if j > i && (j == len(text) || text[j] == '\n') && text[j-1] == '\r' {
				p.end--
			}
			i = j
		}
		c.cells = append(c.cells, p)
		if i >= len(text) || text[i] == '\n' {
			c.record = text[:i]
			return min(i+1, len(text)), lines + 1, whole
		}
		i++ // the delimiter
	}
}

// quotedCell cuts the cell whose text, behind a quote, is at i; it is the place of
// what follows the cell.
func (c *csvReader) quotedCell(text []byte, i int, last bool, p *cell, lines *int) (int, outcome) {
	p.start = i
	from := i // of what is not in plain yet
	plainStart := len(c.plain)
	for {
		q := bytes.IndexByte(text[i:], '"')
		if q < 0 {
			*lines += bytes.Count(text[i:], []byte{'\n'})
			if last {
				return len(text), badQuote
			}
			return len(text), more
		}
		*lines += bytes.Count(text[i:i+q], []byte{'\n'})
		i += q + 1
		if i == len(text) && !last {
			return i, more
		}
		if i < len(text) && text[i] == '"' {
			p.doubled = true
			c.plain = append(c.plain, text[from:i]...)
			i++
			from = i
			continue
		}
		p.end = i - 1
		if p.doubled {
			c.plain = append(c.plain, text[from:p.end]...)
			p.start, p.end = plainStart, len(c.plain)
		}
		if i < len(text) && text[i] == '\r' {
			if i+1 == len(text) && !last {
				return i, more
			}
			if i+1 == len(text) || text[i+1] == '\n' {
				i++
			}
		}
		if i < len(text) && text[i] != c.delimiter && text[i] != '\n' {
			return i, badQuote
		}
		return i, whole
	}
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
