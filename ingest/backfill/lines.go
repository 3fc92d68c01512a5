package backfill

import (
	"bytes"
	"errors"
	"io"
)

// windowBytes is a longest line and the piece that is read at once behind it:
// 64 KiB are a quarter of a second-level cache, and smaller pieces cost more
// calls (16 KiB: 3 % of reading plain NDJSON).
const windowBytes = MaxLine + 64<<10 + 2

// window is the part of a text that is in memory. Slices of it are valid until
// the next call that reads on.
type window struct {
	src        io.Reader
	buf        []byte
	start, end int   // what has been read and not been taken
	offset     int64 // of start in the text
	lines      uint64
	err        error // what ended the text: io.EOF, or why it cannot be read on
}

// begin makes src the window's text, from its beginning.
func (w *window) begin(src io.Reader) {
	if w.buf == nil {
		w.buf = make([]byte, windowBytes)
	}
	*w = window{src: src, buf: w.buf}
}

// text is what is there.
func (w *window) text() []byte { return w.buf[w.start:w.end] }

// ended tells that nothing follows what is there.
func (w *window) ended() bool { return w.err != nil }

// fill reads on, at least a byte if there is one. There is room as long as no
// more than MaxLine+2 bytes wait.
func (w *window) fill() {
	if w.err != nil {
		return
	}
	if len(w.buf)-w.end < 32<<10 {
		w.end = copy(w.buf, w.buf[w.start:w.end])
		w.start = 0
	}
	room := w.buf[w.end:]
	for range 100 { // as bufio does: a reader that gives nothing again and again is broken
		n, err := w.src.Read(room[:min(len(room), 64<<10)])
		w.end += n
		if err != nil {
			w.err = err
			return
		}
		if n > 0 {
			return
		}
	}
	w.err = io.ErrNoProgress
}

// head makes the first n bytes of the text be there, or all of it. What it
// returns does not depend on how the text comes in.
func (w *window) head(n int) []byte {
	for w.end-w.start < n && w.err == nil {
		w.fill()
	}
	return w.buf[w.start:min(w.end, w.start+n)]
}

// take moves on by n bytes, which are whole lines, and counts them.
func (w *window) take(n int, lines int) {
	w.start += n
	w.offset += int64(n)
	w.lines += uint64(lines)
}

// line takes the next line, without its end. Of one that is longer than MaxLine
// it is the beginning, of MaxRaw bytes, with long; cut tells a last line without
// an end. The error is what ended the text; if that is not its end, so is
// what stands before it not a line.
func (w *window) line() (line []byte, long, cut bool, err error) {
	looked := 0
	for {
		text := w.text()
		if i := bytes.IndexByte(text[looked:], '\n'); i >= 0 {
			n := looked + i
			w.take(n+1, 1)
			line = trimReturn(text[:n])
			if len(line) > MaxLine {
				return line[:MaxRaw], true, false, nil
			}
			return line, false, false, nil
		}
		looked = len(text)
		switch {
		case looked > MaxLine+1:
			return w.longLine()
		case w.err == io.EOF && looked > 0:
			w.take(looked, 1)
			line = trimReturn(text)
			if len(line) > MaxLine {
				return line[:MaxRaw], true, true, nil
			}
			return line, false, true, nil
		case w.err != nil:
			return nil, false, false, w.err
		}
		w.fill()
	}
}

// longLine takes a line that is longer than the window, keeping its beginning.
func (w *window) longLine() (line []byte, long, cut bool, err error) {
	kept := bytes.Clone(w.text()[:MaxRaw])
	for {
		text := w.text()
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			w.take(i+1, 1)
			return kept, true, false, nil
		}
		w.take(len(text), 0)
		if w.err != nil {
			if w.err != io.EOF {
				return nil, false, false, w.err
			}
			w.lines++
			return kept, true, true, nil
		}
		w.fill()
	}
}

// discard moves on to a place of the text.
func (w *window) discard(offset int64) error {
	for w.offset < offset {
		if w.start == w.end {
			if w.err != nil {
				if errors.Is(w.err, io.EOF) {
					return io.ErrUnexpectedEOF
				}
				return w.err
			}
			w.start, w.end = 0, 0
			w.fill()
			continue
		}
		n := min(int64(w.end-w.start), offset-w.offset)
		w.take(int(n), 0)
	}
	return nil
}

func trimReturn(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

// errMore ends a beginning of which the text has more.
var errMore = errors.New("there is more")

// beginning is a window of its own on the next 64 KiB, to look at what is to come.
func (w *window) beginning() window {
	const enough = 64 << 10
	head := bytes.Clone(w.head(enough))
	ahead := window{buf: head, end: len(head), err: errMore}
	if w.err != nil && w.end-w.start <= enough {
		ahead.err = w.err
	}
	return ahead
}
