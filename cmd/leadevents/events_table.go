package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// leastMetadata is how much room metadata needs beside the other columns; with less it has a
// line of its own.
const leastMetadata = 24

// columnsOf is how wide the terminal is that w is; 0 if it is none, and nothing is cut.
func columnsOf(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// printable is a client's text without what a terminal would take for an order to it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// fit cuts a text to a width; 0 cuts nothing.
func fit(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	runes := []rune(s)
	return string(runes[:max(width-1, 0)]) + "…"
}

// printEvents prints a table that is at most so wide; 0 is no bound.
func printEvents(w io.Writer, width int, events []listedEvent) error {
	out := bufio.NewWriter(w)
	types, phones := len("eventType"), len("phoneE164")
	for _, e := range events {
		types = max(types, utf8.RuneCountInString(printable(e.EventType)))
		phones = max(phones, len(e.PhoneE164))
	}
	const times, gaps = len("2026-05-12T18:34:00.000Z"), 3 * 2
	below := false
	room := 0
	if width > 0 {
		// Of a narrow terminal a long type gives way first, then metadata goes below.
		types = min(types, max(width-times-phones-gaps-leastMetadata, 12))
		room = width - times - types - phones - gaps
		below = room < leastMetadata
	}
	line := func(at, eventType, phone, metadata string) {
		if below {
			// 24 + 2 + types may itself be too wide: the phone moves down with the metadata.
			fmt.Fprintln(out, fit(at+"  "+eventType, width))
			fmt.Fprintln(out, fit("  "+phone+"  "+metadata, width))
			return
		}
		eventType = fit(eventType, types)
		pad := strings.Repeat(" ", types-utf8.RuneCountInString(eventType))
		fmt.Fprintf(out, "%-*s  %s%s  %-*s  %s\n", times, at, eventType, pad, phones, phone, fit(metadata, room))
	}
	line("occurredAt", "eventType", "phoneE164", "metadata")
	for _, e := range events {
		line(e.OccurredAt, printable(e.EventType), e.PhoneE164, printable(string(e.Metadata)))
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}
