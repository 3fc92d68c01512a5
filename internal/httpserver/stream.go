package httpserver

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/gofiber/fiber/v2"
)

const (
	// streamPiece is how much of a streamed answer goes out at once: a chunk, a flush
	// and a system call each.
	streamPiece = 64 << 10
	// streamPieces may wait between who makes them and the client, so that the store
	// is read while the network is written to.
	streamPieces = 4
)

// Stream answers 200 with what produce writes, as it writes it, in chunks. An
// error before the first piece is full (64 KiB) is returned, to be answered like
// any other; a later one cuts the connection, so that a client never takes a
// part for the whole. produce's context ends when the client is gone or the
// server is stopped by force; it runs beside the handler, and must not use c.
func Stream(c *fiber.Ctx, contentType string, produce func(ctx context.Context, w io.Writer) error) error {
	ctx, cancel := Attended(c)
	s := &stream{cancel: cancel, pieces: make(chan []byte, streamPieces), free: make(chan []byte, streamPieces)}
	go func() {
		defer close(s.pieces)
		s.err = s.fill(ctx, produce)
	}()
	first, more := <-s.pieces
	if !more && s.err != nil {
		cancel()
		return s.err
	}
	s.rest, s.log = first, streamLog(c)
	r := requestOf(c.Context())
	s.atEnd, r.atEnd = r.atEnd, nil
	c.Set(fiber.HeaderContentType, contentType)
	c.Context().Response.SetBodyStream(s, -1)
	return nil
}

// fill runs produce to its end. A panic of it is its error: there is no handler
// above it to catch one.
func (s *stream) fill(ctx context.Context, produce func(context.Context, io.Writer) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	w := &streamWriter{ctx: ctx, stream: s}
	if err := produce(ctx, w); err != nil {
		return err
	}
	return w.flush()
}

// stream hands the pieces from produce to fasthttp.
type stream struct {
	cancel func() // ends produce's context, and waits for who looks after the client
	pieces chan []byte
	free   chan []byte // pieces to be filled again
	err    error       // once pieces is closed
	rest   []byte      // of the piece that is being read
	log    func(bytesOut int64, err error)
	atEnd  []func()
}

// streamLog tells how a stream ended: its request's line was written when it began.
func streamLog(c *fiber.Ctx) func(bytesOut int64, err error) {
	r := requestOf(c.Context())
	s, route, id, org, began := r.srv, r.route, r.id, r.org, time.Now()
	return func(bytesOut int64, err error) {
		attrs := []slog.Attr{slog.String("route", route), slog.Int64("bytesOut", bytesOut), slog.Duration("duration", time.Since(began)), slog.String("requestId", id)}
		if org != 0 {
			attrs = append(attrs, slog.Uint64("organization", uint64(org)))
		}
		switch {
		case err != nil:
			attrs = append(attrs, slog.String("error", err.Error()))
			s.logger.LogAttrs(s.base, slog.LevelWarn, "a streamed answer was cut off", attrs...)
		case s.cfg.LogRequests:
			s.logger.LogAttrs(s.base, slog.LevelInfo, "streamed", attrs...)
		}
	}
}

// next makes rest the next piece; io.EOF at the end.
func (s *stream) next() error {
	if cap(s.rest) == streamPiece {
		select {
		case s.free <- s.rest[:0]:
		default:
		}
	}
	piece, more := <-s.pieces
	s.rest = piece
	switch {
	case more:
		return nil
	case s.err != nil:
		return s.err
	default:
		return io.EOF
	}
}

// Read implements io.Reader, for what does not know WriteTo.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: a piece a chunk.
func (s *stream) WriteTo(w io.Writer) (written int64, err error) {
	defer func() { s.log(written, err) }()
	for {
		if len(s.rest) > 0 {
			n, err := w.Write(s.rest)
			if written += int64(n); err != nil {
				return written, err
			}
		}
		switch err := s.next(); err {
		case nil:
		case io.EOF:
			return written, nil
		default:
			return written, err
		}
	}
}

// SupportsBodyWriteTo implements fasthttp.BodyWriterTo.
func (s *stream) SupportsBodyWriteTo() bool { return true }

// Close implements io.Closer: it ends produce and waits for it. It may be called
// again.
func (s *stream) Close() error {
	s.cancel()
	for range s.pieces { // until it is closed
	}
	end(s.atEnd)
	s.atEnd = nil
	return nil
}

// streamWriter fills pieces.
type streamWriter struct {
	ctx    context.Context
	stream *stream
	piece  []byte
}

// Write implements io.Writer.
func (w *streamWriter) Write(p []byte) (int, error) {
	n := 0
	for len(p) > 0 {
		if w.piece == nil {
			select {
			case w.piece = <-w.stream.free:
			default:
				w.piece = make([]byte, 0, streamPiece)
			}
		}
		fits := min(len(p), streamPiece-len(w.piece))
		w.piece = append(w.piece, p[:fits]...)
		p, n = p[fits:], n+fits
		if len(w.piece) == streamPiece {
			if err := w.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// flush hands the piece on.
func (w *streamWriter) flush() error {
	if len(w.piece) == 0 {
		return nil
	}
	select {
	case w.stream.pieces <- w.piece:
		w.piece = nil
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}
