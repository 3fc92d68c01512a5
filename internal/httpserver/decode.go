package httpserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"leadevents"
)

const (
	// maxZstdWindow is the most that a zstd frame may ask its decoder to keep.
	// RFC 8878 wants 8 MiB at least; a frame that says its size of up to 10 MiB
	// and was made with --ultra asks for all of it.
	maxZstdWindow = 16 << 20
	// What a streamed upload is charged for its decoder: its window and the
	// blocks in flight.
	zstdStreamCharge = maxZstdWindow + (1 << 20)
	gzipStreamCharge = 64 << 10
)

// decoders are the decompressors. The zstd ones in memory are counted: they
// hold up to a window each, and their work is pure computing, so more of them
// than twice the processors would only wait for each other with more memory.
type decoders struct {
	gzip sync.Pool
	zstd chan *zstd.Decoder // a slot is a decoder, or nil for one not made yet
}

func newDecoders() *decoders {
	d := &decoders{zstd: make(chan *zstd.Decoder, 2*runtime.GOMAXPROCS(0))}
	for range cap(d.zstd) {
		d.zstd <- nil
	}
	return d
}

// newZstd makes a decoder without goroutines of its own.
func newZstd() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
}

// gzipReader is a pooled reader on r; it reads the first header.
func (d *decoders) gzipReader(r io.Reader) (*gzip.Reader, error) {
	zr, ok := d.gzip.Get().(*gzip.Reader)
	if !ok {
		zr = new(gzip.Reader)
	}
	if err := zr.Reset(r); err != nil {
		return nil, err
	}
	return zr, nil
}

// decompress fills b.plain with up to limit bytes.
func (b *Body) decompress(limit int) error {
	d := b.srv.decoders
	raw := bytes.NewReader(b.Raw())
	switch b.encoding {
	case gzipEncoding:
		zr, err := d.gzipReader(raw)
		if err != nil {
			return damaged(leadevents.InvalidJSON, b.encoding, err)
		}
		defer d.gzip.Put(zr)
		return b.fill(zr, limit)
	default:
		zr := <-d.zstd
		defer func() { d.zstd <- zr }()
		if zr == nil {
			var err error
			if zr, err = newZstd(); err != nil {
				return fmt.Errorf("make a zstd decoder: %w", err)
			}
		}
		if err := zr.Reset(raw); err != nil {
			return damaged(leadevents.InvalidJSON, b.encoding, err)
		}
		defer zr.Reset(nil) // lets go of the body
		return b.fill(zr, limit)
	}
}

// fill reads r to its end into b.plain.
func (b *Body) fill(r io.Reader, limit int) (err error) {
	want := limit + 1
	// Our JSON shrinks to a fifth or less: start near there.
	if b.plain, err = b.srv.takeBuffer(min(want, max(4*b.rawLen, bufferSizes[0]))); err != nil {
		return err
	}
	for idle := 0; ; {
		if b.plainLen == len(b.plain.b) && b.plainLen < want {
			if b.plain, err = b.srv.growBuffer(b.plain, b.plainLen, nextSize(b.plainLen, want, false)); err != nil {
				return err
			}
		}
		n, readErr := r.Read(b.plain.b[b.plainLen:min(len(b.plain.b), want)])
		b.plainLen += n
		switch {
		case b.plainLen > limit:
			return tooLarge(limit, "the body is larger after decompression")
		case readErr == io.EOF:
			return nil
		case readErr != nil:
			return damaged(leadevents.InvalidJSON, b.encoding, readErr)
		case n > 0:
			idle = 0
		default:
			if idle++; idle == 100 {
				return damaged(leadevents.InvalidJSON, b.encoding, errNoProgress)
			}
		}
	}
}

// damaged is the error for bytes that their Content-Encoding does not explain.
func damaged(kind leadevents.Kind, enc encoding, err error) error {
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return leadevents.Wrap(kind, err, "the zstd body needs a window of more than %d bytes to decompress", maxZstdWindow)
	}
	return leadevents.Wrap(kind, err, "the body is not valid %s, though Content-Encoding says so", enc)
}

// sprintLimit is the end of a body_too_large message.
func sprintLimit(limit int) string { return fmt.Sprintf("; the limit is %d bytes", limit) }

// decodeStream puts the decompressor of enc on top of cr. Its memory is
// charged until Close.
func (s *Server) decodeStream(enc encoding, cr *clientReader) (io.ReadCloser, error) {
	ds := &decodedStream{srv: s, enc: enc, client: cr}
	switch enc {
	case identity:
		ds.r = cr
		return ds, nil
	case gzipEncoding:
		ds.charge = gzipStreamCharge
	default:
		ds.charge = zstdStreamCharge
	}
	if !s.memory.acquire(ds.charge) {
		return nil, s.memoryRefusal()
	}
	var err error
	if enc == gzipEncoding {
		ds.gzip, err = s.decoders.gzipReader(cr)
		ds.r = ds.gzip
	} else {
		ds.zstd, err = newZstd()
		if err == nil {
			err = ds.zstd.Reset(cr)
		}
		ds.r = ds.zstd
	}
	if err != nil {
		err = ds.explain(err)
		_ = ds.Close()
		return nil, err
	}
	return ds, nil
}

type decodedStream struct {
	srv    *Server
	enc    encoding
	client *clientReader
	r      io.Reader
	gzip   *gzip.Reader
	zstd   *zstd.Decoder
	charge int64
}

// Read implements io.Reader.
func (ds *decodedStream) Read(p []byte) (int, error) {
	n, err := ds.r.Read(p)
	if err != nil && err != io.EOF {
		err = ds.explain(err)
	}
	return n, err
}

// explain prefers what happened to the connection over what the decoder made
// of it.
func (ds *decodedStream) explain(err error) error {
	if ds.client.err != nil && ds.client.err != io.EOF {
		return ds.client.err
	}
	if ds.enc == identity {
		return err
	}
	return damaged(leadevents.InvalidRequest, ds.enc, err)
}

// Close implements io.Closer.
func (ds *decodedStream) Close() error {
	if ds.gzip != nil {
		ds.srv.decoders.gzip.Put(ds.gzip)
		ds.gzip = nil
	}
	if ds.zstd != nil {
		ds.zstd.Close()
		ds.zstd = nil
	}
	ds.srv.memory.release(ds.charge)
	ds.charge = 0
	ds.r = closedReader{}
	return nil
}

type closedReader struct{}

// Read implements io.Reader.
func (closedReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
