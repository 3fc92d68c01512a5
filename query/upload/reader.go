package upload

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"leadevents"
)

// The media types that can be read.
const (
	CSV    = "text/csv"
	NDJSON = "application/x-ndjson"
	JSON   = "application/json"
)

// MediaTypes lists them.
func MediaTypes() []string { return []string{CSV, NDJSON, JSON} }

// Reader reads the leads of one upload. Next reads into lead and returns io.EOF
// at the end; every other error is the last, a *leadevents.Error or one of the
// body's own.
type Reader interface {
	Next(lead *Lead) error
}

// New reads a body of one of the media types.
func New(mediaType string, body io.Reader) (Reader, error) {
	switch mediaType {
	case CSV:
		return newCSV(body)
	case NDJSON:
		return newNDJSON(body), nil
	case JSON:
		return newJSON(body), nil
	}
	return nil, fmt.Errorf("leads cannot be read from %q", mediaType)
}

// lines reads a body line by line; a line ends with "\n" or the body.
type lines struct {
	r      *bufio.Reader
	number int // of the last line read, from 1
}

// readBuffer is how much is asked of the body at once. Larger ones gain nothing.
const readBuffer = 128 << 10

func newLines(body io.Reader) lines { return lines{r: bufio.NewReaderSize(body, readBuffer)} }

// next is the next line with its end, valid until the next call. It is UTF-8 and
// at most MaxRow bytes.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if len(line) > 0 {
		l.number++
	}
	switch {
	case len(line) > MaxRow:
		return nil, l.refuse(leadevents.InvalidRequest, "it is longer than %d bytes", MaxRow)
	case err != nil && err != io.EOF: // a full buffer is longer than MaxRow
		return nil, err
	case len(line) == 0:
		return nil, io.EOF
	case !utf8.Valid(line):
		return nil, l.refuse(leadevents.InvalidJSON, "it is not UTF-8")
	}
	return line, nil
}

// refuse is the error that refuses an upload for its last line.
func (l *lines) refuse(kind leadevents.Kind, format string, args ...any) error {
	return leadevents.Errorf(kind, "line %d: %s", l.number, fmt.Sprintf(format, args...))
}

// blank says whether a line has nothing but white space, as JSON has it.
func blank(line []byte) bool { return len(bytes.Trim(line, " \t\r\n")) == 0 }

// bounded is a body of which no more than MaxRow bytes may be read beyond what
// was used, so that a decoder that wants all of one value in its buffer cannot
// be made to hold more.
type bounded struct {
	body    io.Reader
	read    int64
	allowed int64
	failure error // of the body
}

var errTooLong = errors.New("a row is too long")

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	left := b.allowed - b.read
	if left <= 0 {
		return 0, errTooLong
	}
	n, err := b.body.Read(p[:min(int64(len(p)), left)])
	b.read += int64(n)
	if err != nil && err != io.EOF {
		b.failure = err
	}
	return n, err
}

// used says that everything before offset is done with.
func (b *bounded) used(offset int64) { b.allowed = offset + MaxRow }
