package backfill

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"leadevents/internal/rawjson"
)

// reject is a row that was not taken: a line of the rejects file,
//
//	{"line":7,"reason":"invalid phoneE164","hint":"…","row":{"mobile":"0151…","date":"…"}}
//
// with "file" behind it when there are several. A source reads such a line as its row, so what was
// mended inside of "row" is fed in again by the same command with the rejects file in
// place of the file.
type reject struct {
	line uint64
	text []byte // with its line feed
}

func newReject(files []File, file int, line uint64, reason, hint string, raw []byte) reject {
	b := make([]byte, 0, len(`{"line":18446744073709551615,"reason":"","hint":"","row":}`)+len(reason)+len(hint)+len(raw)+1)
	b = strconv.AppendUint(append(b, `{"line":`...), line, 10)
	b = rawjson.AppendQuoted(append(b, `,"reason":`...), []byte(reason))
	if hint != "" {
		b = rawjson.AppendQuoted(append(b, `,"hint":`...), []byte(hint))
	}
	b = append(append(b, `,"row":`...), raw...)
	if len(files) > 1 && file < len(files) {
		b = rawjson.AppendQuoted(append(b, `,"file":`...), []byte(strings.ToValidUTF8(files[file].Name, "\uFFFD")))
	}
	return reject{line: line, text: append(b, "}\n"...)}
}

// rejectsFile is the file of a run's rejects. It is held for the run alone: two that go on
// from one checkpoint would both write it.
type rejectsFile struct {
	file *os.File
	w    *bufio.Writer
	size int64
}

// openRejects opens the file, which is to be size bytes long: what is behind was written after
// the checkpoint, and is written again. What is there of another run is replaced only if ours.
func openRejects(path string, size int64, ours bool) (*rejectsFile, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // it has phones
	if err != nil {
		return nil, fmt.Errorf("open the file for rejected rows (--rejects names another one): %w", err)
	}
	if err := prepareRejects(file, size, ours); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &rejectsFile{file: file, w: bufio.NewWriterSize(file, 64<<10), size: size}, nil
}

func prepareRejects(file *os.File, size int64, ours bool) error {
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s is in use: does another backfill of this file run? (%w)", file.Name(), err)
	}
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("look at the file of rejected rows: %w", err)
	}
	if there, err := os.Stat(file.Name()); err != nil || !os.SameFile(info, there) {
		return fmt.Errorf("%s was just removed by another backfill that ended: run it again (%v)", file.Name(), err)
	}
	if info.Size() < size {
		return fmt.Errorf("%s has %d bytes, but the run had written %d of rejected rows: put it back, or begin anew with --restart", file.Name(), info.Size(), size)
	}
	if info.Size() > 0 && !ours {
		return fmt.Errorf("%s has rejected rows of another run: move it away, or let --restart replace it", file.Name())
	}
	if err := file.Truncate(size); err != nil {
		return fmt.Errorf("cut the file of rejected rows: %w", err)
	}
	if _, err := file.Seek(size, io.SeekStart); err != nil {
		return fmt.Errorf("go on in the file of rejected rows: %w", err)
	}
	return nil
}

func (f *rejectsFile) write(rejects []reject) error {
	for _, r := range rejects {
		n, err := f.w.Write(r.text)
		f.size += int64(n)
		if err != nil {
			return fmt.Errorf("write a rejected row: %w", err)
		}
	}
	return nil
}

// sync puts all that was written on the disk, before a checkpoint that counts on it.
func (f *rejectsFile) sync() error {
	if err := f.w.Flush(); err != nil {
		return fmt.Errorf("write rejected rows: %w", err)
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("sync rejected rows: %w", err)
	}
	return nil
}

// close gives the file free, and removes an empty one.
func (f *rejectsFile) close() error {
	if f.size == 0 {
		_ = os.Remove(f.file.Name()) // an empty file harms nobody
	}
	return f.file.Close()
}
