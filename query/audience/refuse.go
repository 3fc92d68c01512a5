package audience

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"leadevents"
)

// refuse makes the error of one place: "<at> <sentence>", InvalidRequest.
func refuse(at, format string, args ...any) error {
	return leadevents.Errorf(leadevents.InvalidRequest, "%s %s", at, fmt.Sprintf(format, args...))
}

func refuseMinutes(at string) error {
	return refuse(at, "must be a whole number from 1 to %d", MaxMinutes)
}

func refuseMinCount(at string) error {
	return refuse(at, "must be a whole number from 1 to %d", MaxMinCount)
}

func refuseValues(at string, n int) error {
	return refuse(at, "holds %d values; at most %d are allowed", n, MaxValues)
}

// index is the name of a list's element: "eventFilters[2]".
func index(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }

// maxEcho is how many characters of what a client sent an error repeats, as
// many as a reject of ingest does.
const maxEcho = 64

// quoted is what the client sent, in quotes, cut at 64 characters.
func quoted(s string) string { return strconv.Quote(cut(s)) }

func cut(s string) string {
	n := 0
	for i := range s {
		if n == maxEcho {
			return s[:i] + "…"
		}
		n++
	}
	return strings.ToValidUTF8(s, string(utf8.RuneError))
}
