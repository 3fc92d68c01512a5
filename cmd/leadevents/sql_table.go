package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// columnRows is how many rows decide how wide the columns are; the others are
	// printed as they come, so that an answer of any length is.
	columnRows = 1000
	// tableCell is the widest that a column is made; what is longer is printed whole, out
	// of line.
	tableCell = 60
)

// printAnswer prints CSV with a header in columns, numbers to the right.
func printAnswer(out io.Writer, in io.Reader) error {
	rows := csv.NewReader(in)
	rows.FieldsPerRecord, rows.LazyQuotes = -1, true
	var page [][]string
	ended := false
	for len(page) <= columnRows {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			ended = true
			break
		}
		if err != nil {
			return err
		}
		page = append(page, row)
	}
	if len(page) == 0 {
		return nil
	}
	w := bufio.NewWriter(out)
	widths, numbers := columnWidths(page)
	for i, row := range page {
		writeRow(w, row, widths, numbers)
		if i == 0 {
			line := make([]string, len(row))
			for c := range line {
				line[c] = strings.Repeat("-", widths[c])
			}
			writeRow(w, line, widths, numbers)
		}
	}
	count := len(page) - 1
	for !ended {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, w.Flush())
		}
		writeRow(w, row, widths, numbers)
		count++
	}
	_, _ = w.WriteString("(" + strconv.Itoa(count) + " rows)\n")
	return w.Flush()
}

// columnWidths is how wide the columns of a page are, and which have numbers alone.
func columnWidths(page [][]string) (widths []int, numbers []bool) {
	widths, numbers = make([]int, len(page[0])), make([]bool, len(page[0]))
	for c := range widths {
		numbers[c] = len(page) > 1
		for i, row := range page {
			if c >= len(row) {
				continue
			}
			widths[c] = max(widths[c], min(utf8.RuneCountInString(shownCell(row[c])), tableCell))
			if _, err := strconv.ParseFloat(row[c], 64); i > 0 && err != nil && row[c] != `\N` {
				numbers[c] = false
			}
		}
	}
	return widths, numbers
}

// shownCell is a value on one line, and nothing that a terminal would obey.
func shownCell(value string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '·'
		}
		return r
	}, value)
}

func writeRow(w *bufio.Writer, row []string, widths []int, numbers []bool) {
	for c, value := range row {
		value = shownCell(value)
		if c > 0 {
			_, _ = w.WriteString("  ")
		}
		pad := ""
		if c < len(widths) {
			pad = strings.Repeat(" ", max(0, widths[c]-utf8.RuneCountInString(value)))
		}
		switch {
		case c < len(numbers) && numbers[c]:
			_, _ = w.WriteString(pad + value)
		case c == len(row)-1:
			_, _ = w.WriteString(value)
		default:
			_, _ = w.WriteString(value + pad)
		}
	}
	_, _ = w.WriteString("\n")
}
