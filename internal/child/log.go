package child

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// tailBytes of a child's last words go into the error when it fails to start:
// enough for a message and a few lines around it.
const tailBytes = 4 << 10

// Log is a child's output in files of bounded size: path, path.1 (older) and so
// on. It never fails a write: a child must not die, or block on a full pipe,
// because our disk is full; what cannot be written is dropped, the tail is kept.
type Log struct {
	path string
	max  int64
	keep int

	mu     sync.Mutex
	closed bool
	file   *os.File
	size   int64
	tail   []byte
}

// OpenLog appends to the log at path. At most (keep + 1) × maxBytes are ever on
// disk.
func OpenLog(path string, maxBytes int64, keep int) (*Log, error) {
	l := &Log{path: path, max: maxBytes, keep: keep}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open the log: %w", explain(err))
	}
	return l, nil
}

func (l *Log) open() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write appends p, turning the files first where p would pass the bound, and
// always reports success. A single write larger than the bound is cut to it.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if extra := len(l.tail) - tailBytes; extra > 0 {
		l.tail = append(l.tail[:0], l.tail[extra:]...)
	}
	if l.closed {
		return len(p), nil
	}
	line := p
	if int64(len(line)) > l.max {
		line = line[:l.max]
	}
	if l.size > 0 && l.size+int64(len(line)) > l.max {
		l.turn()
	}
	if l.file == nil {
		_ = l.open() // it failed before, perhaps for want of space: try again
	}
	if l.file != nil {
		n, _ := l.file.Write(line)
		l.size += int64(n)
	}
	return len(p), nil
}

// turn moves path.1 to path.2 and so on, the oldest away, and begins path anew.
func (l *Log) turn() {
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
	l.size = 0
	for i := l.keep; i > 0; i-- {
		from := l.path
		if i > 1 {
			from = fmt.Sprintf("%s.%d", l.path, i-1)
		}
		_ = os.Rename(from, fmt.Sprintf("%s.%d", l.path, i))
	}
	// With keep = 0, or where the renaming failed, the bound still holds.
	_ = os.Truncate(l.path, 0)
	_ = l.open()
}

// forget empties the tail, before a new child speaks.
func (l *Log) forget() {
	l.mu.Lock()
	l.tail = l.tail[:0]
	l.mu.Unlock()
}

// Tail is what the child said last, without the addresses of stack traces.
func (l *Log) Tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for line := range strings.Lines(string(l.tail)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.Contains(line, ". ? @ 0x") {
			continue
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Close closes the current file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
