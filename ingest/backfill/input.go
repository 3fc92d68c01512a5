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
	file  *os.File
	plain bool          // a file on the disk that is not compressed: it can be seeked
	read  *atomic.Int64 // bytes of the file read
}

// openInput opens a file, or standard input; read counts its bytes.
func openInput(ctx context.Context, f File, d *decompressors, read *atomic.Int64) (*input, error) {
	in := &input{file: os.Stdin, read: read}
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
	compression := compressionOf(magic)
	in.plain = compression == Plain && f.Name != Stdin
	if in.Reader, err = d.read(raw, compression); err != nil {
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
	if in.file != os.Stdin {
		_ = in.file.Close() // only read
	}
}

// decompressors are used for one file after the other: a zstd window may be
// 128 MiB, and two of them would be more than a backfill may need.
type decompressors struct {
	gzip *gzip.Reader
	zstd *zstd.Decoder
}

// read begins to read a compressed stream. One goroutine and no read-ahead: the other
// core has the server's work to do, and a decoder that runs ahead holds more
// windows. (With 2 goroutines zstd took as long, with 4 twice as long, on two
// cores; compress/gzip takes 1.4 times as long as this gzip.)
func (d *decompressors) read(r io.Reader, compression string) (_ io.Reader, err error) {
	switch compression {
	case Gzip:
		if d.gzip == nil {
			d.gzip = new(gzip.Reader)
		}
		if err := d.gzip.Reset(r); err != nil {
			return nil, fmt.Errorf("decompress gzip: %w", err)
		}
		return named{d.gzip, compression}, nil
	case Zstd:
		if d.zstd == nil {
			d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		}
		if err == nil {
			err = d.zstd.Reset(r)
		}
		if err != nil {
			return nil, fmt.Errorf("decompress zstd: %w", err)
		}
		return named{d.zstd, compression}, nil
	}
	return r, nil
}

// close gives back what they hold.
func (d *decompressors) close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
	*d = decompressors{}
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
	case errors.Is(err, gzip.ErrChecksum): // which stands at the end
		return k, fmt.Errorf("decompress %s: the file is damaged, nobody knows where, so rows that were read of it may be wrong (--undo takes its run back): %w", n.compression, err)
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
