package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"
)

const (
	// columnRows is how many rows decide how wide the columns are; the others are
	// printed as they come, so that a table of any length is.
	columnRows = 1000
	// widestColumn is the widest that a column is made; what is longer is printed whole,
	// out of line.
	widestColumn = 60
	// longText is wider than any time, id or phone: a column with such a cell may be cut
	// to fit a terminal, and so may those that the caller names.
	longText = 40
	// leastText is the narrowest that a column is cut to: with less nobody recognizes a
	// text.
	leastText = 16
	gap       = "  "
	// sqlNull is NULL in ClickHouse's CSV.
	sqlNull = `\N`
)

// table prints rows in columns under a header: numbers to the right, the rest to the left.
// Nothing of it is an order to a terminal. On a terminal that is too narrow long texts are
// cut; where that is not enough each row is printed as a record, a line a cell, of which
// nothing is cut. What is no terminal gets all, in columns.
type table struct {
	out    *bufio.Writer
	width  int      // of the terminal; 0 is none
	texts  []string // names of columns that may be cut
	page   [][]string
	layout *layout
	rows   int

	printed int // records
}

// printTable prints a whole table; header has the names of the columns.
func printTable(w io.Writer, header string, rows [][]string, texts ...string) error {
	t := newTable(w, strings.Fields(header), texts...)
	for _, row := range rows {
		t.add(row)
	}
	return t.end()
}

// newTable is a table for w, as wide as it is where it is a terminal.
func newTable(w io.Writer, header []string, texts ...string) *table {
	return tableOf(w, widthOf(w), header, texts...)
}

func tableOf(w io.Writer, width int, header []string, texts ...string) *table {
	t := &table{out: bufio.NewWriter(w), width: width, texts: texts}
	t.page = [][]string{shown(header)}
	return t
}

// shown are cells as they are printed.
func shown(row []string) []string {
	cells := make([]string, len(row))
	for i, cell := range row {
		if cells[i] = printable(cell); cell == sqlNull {
			cells[i] = "NULL"
		}
	}
	return cells
}

// add prints a row, or keeps it until the widths are known.
func (t *table) add(row []string) {
	t.rows++
	if row = shown(row); t.layout != nil {
		t.print(row)
		return
	}
	if t.page = append(t.page, row); len(t.page) > columnRows {
		t.begin()
	}
}

// begin prints what was kept.
func (t *table) begin() {
	t.layout = layoutOf(t.page, t.width, t.texts...)
	if !t.layout.records {
		t.print(t.page[0])
	}
	rows := t.page[1:]
	t.page = t.page[:1]
	for _, row := range rows {
		t.print(row)
	}
}

func (t *table) print(row []string) {
	if !t.layout.records {
		_, _ = t.out.WriteString(t.layout.line(row) + "\n")
		return
	}
	if t.printed++; t.printed > 1 {
		_ = t.out.WriteByte('\n')
	}
	names := 0
	for _, name := range t.page[0] {
		names = max(names, runewidth.StringWidth(name))
	}
	for c, cell := range row {
		name := ""
		if c < len(t.page[0]) {
			name = t.page[0][c]
		}
		_, _ = t.out.WriteString(strings.TrimRight(runewidth.FillRight(name, names)+gap+cell, " ") + "\n")
	}
}

// end prints what is left.
func (t *table) end() error {
	if t.layout == nil {
		t.begin()
	}
	if err := t.out.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// layout is how rows stand beneath one another.
type layout struct {
	widths  []int
	numbers []bool // columns of numbers alone
	cut     []bool // columns that are cut to their width
	records bool   // they do not fit, cut or not
}

// layoutOf finds the columns of rows, the first of which is the header, in a width; 0 is
// no bound.
func layoutOf(rows [][]string, width int, texts ...string) *layout {
	columns := len(rows[0])
	l := &layout{widths: make([]int, columns), numbers: make([]bool, columns), cut: make([]bool, columns)}
	most := widestColumn
	if width > 0 {
		most = max(width, widestColumn)
	}
	sum := -len(gap)
	for c := range columns {
		for i, row := range rows {
			if c >= len(row) {
				continue
			}
			l.widths[c] = max(l.widths[c], runewidth.StringWidth(row[c]))
			if i > 0 && isNumber(row[c]) && !isIdentifier(rows[0][c]) {
				l.numbers[c] = true
			}
		}
		l.numbers[c] = l.numbers[c] && !slices.ContainsFunc(rows[1:], func(row []string) bool {
			return c < len(row) && !isNumber(row[c]) && !isNothing(row[c])
		})
		l.widths[c] = min(l.widths[c], most)
		sum += l.widths[c] + len(gap)
	}
	if width == 0 || sum <= width {
		return l
	}
	// The widest of those that may be cut gives way first.
	for ; sum > width; sum-- {
		widest := -1
		for c, w := range l.widths {
			if w > leastText && (l.cut[c] || w > longText || slices.Contains(texts, rows[0][c])) && (widest < 0 || w > l.widths[widest]) {
				widest = c
			}
		}
		if widest < 0 {
			l.records = true
			return l
		}
		l.widths[widest]--
		l.cut[widest] = true
	}
	return l
}

// isNumber is whether people would call a cell one: 3,000 and 12.5% are, a phone is not.
func isNumber(cell string) bool {
	_, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(cell, "<"), "%"), ",", ""), 64)
	return err == nil && cell[0] != '+'
}

// isIdentifier is whether a column's digits are no quantity: they are looked for from the
// left.
func isIdentifier(name string) bool {
	return name == "phone" || name == "id" || strings.HasSuffix(name, "Id") || strings.HasSuffix(name, "_id")
}

// isNothing is whether a cell says that there is no value.
func isNothing(cell string) bool { return cell == "" || cell == "-" || cell == "NULL" }

// line is a row in its columns.
func (l *layout) line(row []string) string {
	var b strings.Builder
	for c, cell := range row {
		if c > 0 {
			b.WriteString(gap)
		}
		switch {
		case c >= len(l.widths):
			b.WriteString(cell)
		case l.numbers[c]:
			b.WriteString(right(cell, l.widths[c]))
		case l.cut[c]:
			b.WriteString(runewidth.FillRight(runewidth.Truncate(cell, l.widths[c], "…"), l.widths[c]))
		default:
			b.WriteString(runewidth.FillRight(cell, l.widths[c]))
		}
	}
	return strings.TrimRight(b.String(), " ")
}
