package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// canvas is where a chart is drawn.
type canvas struct {
	width   int  // columns
	unicode bool // blocks of eighths, or what every terminal has
}

const (
	narrowest = 40
	widest    = 160 // a bar that is longer is not read better
)

// canvasOf is that of a terminal, or of a file or pipe, where COLUMNS may say how wide it is.
func canvasOf(w io.Writer) canvas {
	c := canvas{width: 80}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil {
		c.width = n
	}
	if width := widthOf(w); width > 0 {
		c.width = width
	}
	c.width = min(max(c.width, narrowest), widest)
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} { // the first that is set counts
		if locale := os.Getenv(name); locale != "" {
			locale = strings.ToLower(locale)
			c.unicode = strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
			break
		}
	}
	return c
}

// widthOf is how wide the terminal is that w is; 0 if it is none.
func widthOf(w io.Writer) int {
	if !isTerminal(w) {
		return 0
	}
	width, _, err := term.GetSize(int(w.(*os.File).Fd()))
	if err != nil {
		return 0
	}
	return width
}

// isTerminal tells whether a person reads or writes there.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// printable is a client's text on one line, without what a terminal would take for an
// order to it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, text)
}

var (
	eighths = []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}  // of a bar, to the right
	heights = []string{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇"} // of a column, upwards
)

// bar is a share of a width, 0 to 1. What is more than nothing is never drawn as nothing.
func (c canvas) bar(share float64, width int) string {
	if c.unicode {
		n := int(share*float64(width*8) + 0.5)
		if share > 0 {
			n = max(n, 1)
		}
		return strings.Repeat("█", n/8) + eighths[n%8]
	}
	n := int(share*float64(width) + 0.5)
	if share > 0 {
		n = max(n, 1)
	}
	return strings.Repeat("#", n)
}

// columns draw shares, 0 to 1, as lines from the top, height of them.
func (c canvas) columns(shares []float64, height int) []string {
	lines := make([]string, height)
	for row := range lines {
		var b strings.Builder
		for _, share := range shares {
			n := int(share*float64(height*8) + 0.5)
			if share > 0 {
				n = max(n, 1)
			}
			n -= (height - 1 - row) * 8
			switch {
			case c.unicode && n >= 8:
				b.WriteString("█")
			case c.unicode && n > 0:
				b.WriteString(heights[n])
			case !c.unicode && (n >= 4 || n > 0 && row == height-1):
				b.WriteString("#")
			default:
				b.WriteString(" ")
			}
		}
		lines[row] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// sign is one of two ways to draw something.
func (c canvas) sign(unicode, ascii string) string {
	if c.unicode {
		return unicode
	}
	return ascii
}

// plain makes a text one that the terminal can show: without Unicode what is not ASCII is a
// question mark.
func (c canvas) plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x7f && !c.unicode {
			return '?'
		}
		return r
	}, printable(text))
}

// cut makes a text no wider than a width.
func (c canvas) cut(text string, width int) string {
	return runewidth.Truncate(c.plain(text), width, c.sign("…", "~"))
}

// left pads a text to a width, or cuts it.
func (c canvas) left(text string, width int) string {
	return runewidth.FillRight(c.cut(text, width), width)
}

// right pads a number to a width.
func right(text string, width int) string {
	return runewidth.FillLeft(text, width)
}

// longest is the width of the widest of the texts, most at most.
func (c canvas) longest(texts []string, most int) int {
	n := 0
	for _, t := range texts {
		n = max(n, runewidth.StringWidth(c.plain(t)))
	}
	return min(n, most)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// percent writes a share.
func percent(f *float64) string {
	switch {
	case f == nil:
		return "-"
	case *f > 0 && *f < 0.0005:
		return "<0.1%"
	default:
		return fmt.Sprintf("%.1f%%", *f*100)
	}
}

// period writes a time with its two largest units.
func period(d time.Duration) string {
	days := int(d / (24 * time.Hour))
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	case days == 0:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd %dh", days, int(d.Hours())%24)
	}
}
