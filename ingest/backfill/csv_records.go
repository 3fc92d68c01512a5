package backfill

import (
	"bytes"
	"io"
)

// Outcomes of split.
type outcome uint8

const (
	whole outcome = iota
	more          // the text ends in the record
	badQuote
)

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
