package backfill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"leadevents"
)

// reader reads the rows of one file.
type reader interface {
	// next fills a row that is empty. io.EOF is the file's end; any other error is
	// that it cannot be read on.
	next(row *Row) error
	// position is where the next row begins, or the empty lines before it; File is not set.
	position() Position
	// jump goes to a position, from the beginning.
	jump(ctx context.Context, in *input, at Position) error
	close()
}

// source reads files one after the other.
type source struct {
	ctx    context.Context // its whole life's: Next has none, for a row is no call
	files  []File
	shaper *shaper
	at     Position // of the next row
	reader reader   // of files[at.File]; nil: not open yet
	input  *input
	err    error

	size int64        // bytes of all files; 0: unknown
	done atomic.Int64 // of the files that are done
	read atomic.Int64 // of the current one
}

func open(ctx context.Context, files []File, m Mapping, at Position) (_ Source, err error) {
	s := &source{ctx: ctx, files: files, at: at}
	if s.shaper, err = newShaper(&m); err != nil {
		return nil, err
	}
	if at.File < 0 || at.File > len(files) {
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "the position is in file %d of %d", at.File+1, len(files))
	}
	for i, f := range files {
		if f.Name == Stdin && (i < at.File || i == at.File && at != Position{File: i}) {
			return nil, leadevents.Errorf(leadevents.InvalidRequest, "standard input cannot be read again: only files can be resumed")
		}
		s.size += f.Size
		if i < at.File {
			s.done.Add(f.Size)
		}
	}
	for _, f := range files {
		if f.Name == Stdin { // nobody knows how much comes
			s.size = 0
		}
	}
	// Columns that cannot be told in the last file are better known now than after
	// a night. What cannot be read is told when it is its turn: the rows before it count.
	for i := at.File; i < len(files); i++ {
		if files[i].Name == Stdin {
			continue
		}
		var read atomic.Int64
		r, in, err := openFile(ctx, files[i], s.shaper, &read, true)
		if err == nil {
			r.close()
			in.close()
		} else if leadevents.KindOf(err) == leadevents.InvalidRequest || ctx.Err() != nil {
			s.shaper.decompressors.close()
			return nil, err
		}
	}
	return s, nil
}

// openFile opens a file and tells its columns. An error without a kind is that
// it cannot be read, or, if it is only looked at, that this would take long.
func openFile(ctx context.Context, f File, s *shaper, read *atomic.Int64, lookOnly bool) (_ reader, _ *input, err error) {
	read.Store(0)
	in, err := openInput(ctx, f, &s.decompressors, read)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	w := window{buf: s.window} // one file is open at a time
	w.begin(in)
	s.window = w.buf
	head := w.head(len("PAR1"))
	if encoding := utf16Of(head); encoding != "" {
		return nil, nil, leadevents.Errorf(leadevents.InvalidRequest, "%s is in UTF-16: iconv -f %s -t UTF-8 makes it readable", f.Name, encoding)
	}
	if bytes.Equal(head, []byte("PAR1")) {
		r, err := newParquet(f.Name, s, in, &w, lookOnly)
		if err != nil {
			return nil, nil, err
		}
		return r, in, nil
	}
	if bytes.HasPrefix(head, []byte(byteOrderMark)) {
		w.take(len(byteOrderMark), 0)
	}
	format := f.Format
	if format == "" || format == Parquet {
		format = formatOf(f.Name, w.head(64))
	}
	if format == NDJSON {
		r, err := newNDJSON(f.Name, s, w)
		if err != nil {
			return nil, nil, err
		}
		return r, in, nil
	}
	r, err := newCSV(f.Name, s, w)
	if err != nil {
		return nil, nil, err
	}
	return r, in, nil
}

// utf16Of is the encoding, as iconv has it, of a text that begins with two UTF-16 characters; else "".
// Without a byte order mark, as some databases export it, every other byte of ASCII is zero.
func utf16Of(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\xFF\xFE")) || bytes.HasPrefix(head, []byte("\xFE\xFF")):
		return "UTF-16"
	case len(head) < 4:
		return ""
	case head[0] != 0 && head[1] == 0 && head[2] != 0 && head[3] == 0:
		return "UTF-16LE"
	case head[0] == 0 && head[1] != 0 && head[2] == 0 && head[3] != 0:
		return "UTF-16BE"
	}
	return ""
}

// Next reads a row.
func (s *source) Next(row *Row) (Position, error) {
	if s.err != nil {
		return s.at, s.err
	}
	*row = Row{}
	for s.at.File < len(s.files) {
		if s.reader == nil {
			if s.err = s.openNext(); s.err != nil {
				return s.at, s.err
			}
		}
		at := s.reader.position()
		at.File = s.at.File
		err := s.reader.next(row)
		if err == nil {
			return at, nil
		}
		s.at = at
		if err != io.EOF {
			s.err = s.fileError(err)
			return s.at, s.err
		}
		s.closeFile()
		s.done.Add(s.files[s.at.File].Size)
		s.at = Position{File: s.at.File + 1}
	}
	s.err = io.EOF
	return s.at, s.err
}

// openNext opens the file of the position, and goes there.
func (s *source) openNext() error {
	r, in, err := openFile(s.ctx, s.files[s.at.File], s.shaper, &s.read, false)
	if err != nil {
		if leadevents.KindOf(err) == leadevents.InvalidRequest {
			return err
		}
		return s.fileError(err)
	}
	s.reader, s.input = r, in
	if s.at.Row > 0 || s.at.Offset > 0 {
		if err := r.jump(s.ctx, in, s.at); err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("it ends before row %d, where reading was to go on: %w", s.at.Row+1, io.ErrUnexpectedEOF)
			}
			return s.fileError(err)
		}
	}
	return nil
}

// fileError is a *FileError of the current file; a context's end is none.
func (s *source) fileError(err error) error {
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	e := &FileError{Name: s.files[s.at.File].Name, Line: s.at.Line, Offset: s.read.Load(), Err: err}
	if s.reader != nil {
		e.Line = max(e.Line, s.reader.position().Line)
	}
	return e
}

func (s *source) closeFile() {
	if s.reader != nil {
		s.reader.close()
		s.input.close()
		s.reader, s.input = nil, nil
	}
	s.read.Store(0)
}

// Progress is the bytes read of all files.
func (s *source) Progress() (read, size int64) {
	return s.done.Load() + s.read.Load(), s.size
}

// Close gives back what is open.
func (s *source) Close() error {
	s.closeFile()
	s.shaper.decompressors.close()
	if s.err == nil {
		s.err = errors.New("the source is closed")
	}
	return nil
}

// jumpText is jump of a text: by its offset where there is one, else by rows.
func (w *window) jumpText(ctx context.Context, in *input, at Position, skip func(rows uint64) error) error {
	if at.Offset == 0 {
		return skip(at.Row)
	}
	if at.Offset < w.offset {
		return fmt.Errorf("the position is at byte %d, before the first row", at.Offset)
	}
	if in.plain {
		if err := in.seek(ctx, at.Offset); err != nil {
			return err
		}
		*w = window{src: in, buf: w.buf, offset: at.Offset}
	} else if err := w.discard(at.Offset); err != nil {
		return err
	}
	w.lines = at.Line
	return nil
}

func (c *csvReader) position() Position {
	return Position{Row: c.rows, Line: c.lines, Offset: c.offset}
}

func (c *csvReader) jump(ctx context.Context, in *input, at Position) error {
	if err := c.jumpText(ctx, in, at, c.skip); err != nil {
		return err
	}
	c.rows = at.Row
	return nil
}

func (c *csvReader) close() {}

func (r *ndjsonReader) position() Position {
	return Position{Row: r.rows, Line: r.lines, Offset: r.offset}
}

func (r *ndjsonReader) jump(ctx context.Context, in *input, at Position) error {
	if err := r.jumpText(ctx, in, at, r.skip); err != nil {
		return err
	}
	r.rows = at.Row
	return nil
}

func (r *ndjsonReader) close() {}
