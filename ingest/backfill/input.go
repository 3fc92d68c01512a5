package backfill

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxZstdWindow is the longest distance that a zstd file may refer back, which is
// held in memory: what the zstd command reads without being told to. Its
// highest levels need it (--ultra -22).
const maxZstdWindow = 128 << 20

const byteOrderMark = "\xEF\xBB\xBF"

func sortNames(names []string) { slices.Sort(names) }

// input is a file's decompressed bytes.
type input struct {
	io.Reader
	file        *os.File
	plain       bool // a file on the disk that is not compressed: it can be seeked
	compression string
	read        *atomic.Int64 // bytes of the file read
	stop        func()        // of the decompressor
}

// openInput opens a file, or standard input; read counts its bytes.
func openInput(ctx context.Context, f File, read *atomic.Int64) (*input, error) {
	in := &input{file: os.Stdin, read: read, stop: func() {}}
	if f.Name != Stdin {
		var err error
		if in.file, err = os.Open(f.Name); err != nil {
			return nil, fmt.Errorf("open the file: %w", err)
		}
	}
	raw := bufio.NewReaderSize(&counted{ctx, in.file, read}, 128<<10)
	magic, err := raw.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		in.close()
		return nil, fmt.Errorf("read the file: %w", err)
	}
	in.compression = compressionOf(magic)
	if in.compression == Plain {
		in.plain = f.Name != Stdin
		in.Reader = raw
		return in, nil
	}
	in.Reader, in.stop, err = decompress(raw, in.compression)
	if err != nil {
		in.stop = func() {}
		in.close()
		return nil, err
	}
	return in, nil
}

// seek goes to a place of a plain file.
func (in *input) seek(ctx context.Context, offset int64) error {
	if _, err := in.file.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("seek to byte %d: %w", offset, err)
	}
	in.read.Store(offset)
	in.Reader = bufio.NewReaderSize(&counted{ctx, in.file, in.read}, 128<<10)
	return nil
}

func (in *input) close() {
	in.stop()
	if in.file != os.Stdin {
		_ = in.file.Close() // only read
	}
}

// decompress begins to read a compressed stream; stop gives back its memory. One
// goroutine and no read-ahead: the other core has the server's work to do, and a
// decoder that runs ahead holds more windows.
func decompress(r io.Reader, compression string) (_ io.Reader, stop func(), _ error) {
	switch compression {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, fmt.Errorf("decompress gzip: %w", err)
		}
		return named{z, compression}, func() { _ = z.Close() }, nil
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("decompress zstd: %w", err)
		}
		return named{z, compression}, z.Close, nil
	}
	return r, func() {}, nil
}

// named says of an error who found it.
type named struct {
	r           io.Reader
	compression string
}

func (n named) Read(b []byte) (int, error) {
	k, err := n.r.Read(b)
	switch {
	case err == nil || err == io.EOF: // as they are: io.Reader's words
		return k, err
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return k, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return k, fmt.Errorf("decompress %s: the file is cut off: %w", n.compression, err)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return k, fmt.Errorf("decompress %s: it needs a window of more than %d MiB; compress it without --long: %w", n.compression, maxZstdWindow>>20, err)
	}
	return k, fmt.Errorf("decompress %s: %w", n.compression, err)
}

// counted counts what is read, and ends with its context: so skipping through a
// large file ends too.
type counted struct {
	ctx  context.Context
	r    io.Reader
	read *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(b)
	c.read.Add(int64(n))
	return n, err
}
