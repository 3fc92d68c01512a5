package httpserver

import (
	"errors"
	"io"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"leadevents"
)

// Body is a request's body in memory: as sent, and decompressed. Its bytes are
// pooled: nothing may refer to them after Release.
type Body struct {
	srv      *Server
	encoding encoding
	raw      *buffer
	rawLen   int
	plain    *buffer // nil until decompressed
	plainLen int
	damage   error // why it cannot be decompressed
}

// ReadBody reads the whole body as sent, up to limit bytes. Its errors are to
// be returned by the handler as they are:
//
//   - 413 body_too_large: over limit; by its Content-Length, before a byte is read
//   - 415 unsupported_media_type: a Content-Encoding other than gzip and zstd
//   - 400 invalid_request: cut short by the client
//   - 408 invalid_request: not sent in time
//   - 503 unavailable: over the server's memory for bodies
//
// The caller releases the body.
func ReadBody(c *fiber.Ctx, limit int) (*Body, error) {
	ctx := c.Context()
	r := requestOf(ctx)
	enc, err := contentEncoding(ctx)
	if err != nil {
		return nil, err
	}
	length := ctx.Request.Header.ContentLength()
	if length > limit {
		return nil, tooLarge(limit, "the body is %d bytes", length)
	}
	b := &Body{srv: r.srv, encoding: enc}
	if r.expecting && (length > 0 || length == -1) {
		return nil, errAwaitBody
	}
	stream := ctx.Request.BodyStream()
	if stream == nil || length == 0 {
		return b, nil
	}
	if err := b.read(stream, r, limit, length); err != nil {
		b.Release()
		return nil, err
	}
	return b, nil
}

// read fills b.raw from the client. length is -1 for a chunked body.
func (b *Body) read(stream io.Reader, r *request, limit, length int) (err error) {
	want, known := length, true
	if length < 0 {
		// One byte more than the limit tells "at" from "over".
		want, known = limit+1, false
	}
	if b.raw, err = b.srv.takeBuffer(nextSize(0, want, known)); err != nil {
		return err
	}
	defer func() {
		if err == nil { // an error needs no place to be answered
			err = b.srv.stepBack(r)
		}
	}()
	for {
		if b.rawLen == len(b.raw.b) && b.rawLen < want {
			if b.raw, err = b.srv.growBuffer(b.raw, b.rawLen, nextSize(b.rawLen, want, known)); err != nil {
				return err
			}
		}
		n, readErr := stream.Read(b.raw.b[b.rawLen:min(len(b.raw.b), want)])
		b.rawLen += n
		r.bytesIn += int64(n)
		switch {
		case b.rawLen > limit:
			return tooLarge(limit, "the body is larger")
		case known && b.rawLen == length:
			r.bodyEnded = true
			return nil
		case readErr == io.EOF && !known:
			r.bodyEnded = true
			return nil
		case readErr != nil:
			// fasthttp reports a body cut short as the end of the body: only
			// the count tells them apart.
			return r.srv.readFailure(readErr, int64(b.rawLen), length)
		}
		b.srv.stepAside(r) // what came with the headers was not all
	}
}

func tooLarge(limit int, format string, args ...any) error {
	e := leadevents.Errorf(leadevents.BodyTooLarge, format, args...)
	e.Message += sprintLimit(limit)
	return e
}

// Raw is the body as sent, for signatures. It is valid until Release.
func (b *Body) Raw() []byte {
	if b.raw == nil {
		return nil
	}
	return b.raw.b[:b.rawLen]
}

// Encoded tells whether the body is compressed.
func (b *Body) Encoded() bool { return b.encoding != identity }

// Decoded is the body without its Content-Encoding, up to limit bytes; it is
// Raw if it has none. Over limit is 413 body_too_large, what cannot be
// decompressed 400 invalid_json, no memory for it 503. It is valid until
// Release; a second call gives the same bytes, or the same error.
func (b *Body) Decoded(limit int) ([]byte, error) {
	if b.encoding == identity {
		if b.rawLen > limit {
			return nil, tooLarge(limit, "the body is %d bytes", b.rawLen)
		}
		return b.Raw(), nil
	}
	if b.damage != nil {
		return nil, b.damage
	}
	if b.plain == nil {
		if err := b.decompress(limit); err != nil {
			if b.plain != nil {
				b.srv.giveBuffer(b.plain)
				b.plain, b.plainLen = nil, 0
			}
			b.damage = err
			return nil, err
		}
	}
	return b.plain.b[:b.plainLen], nil
}

// Release gives the memory back. It may be called more than once, but not
// while another goroutine still reads the bytes.
func (b *Body) Release() {
	if b.raw != nil {
		b.srv.giveBuffer(b.raw)
		b.raw, b.rawLen = nil, 0
	}
	if b.plain != nil {
		b.srv.giveBuffer(b.plain)
		b.plain, b.plainLen = nil, 0
	}
}

// clientReader reads a body of any size from the client: it counts, bounds the
// waits for the client, and never takes a cut connection for an end. What the
// handler does between two reads is not the client's time.
type clientReader struct {
	ctx     *fasthttp.RequestCtx
	r       *request
	stream  io.Reader
	length  int           // -1 if chunked
	renewAt int64         // bytesIn at which a new BodyTimeout begins
	left    time.Duration // of the BodyTimeout that runs
	err     error         // sticky
}

// renewEvery is how many bytes of a streamed body have a BodyTimeout of their own.
const renewEvery = 1 << 20

// Read implements io.Reader.
func (cr *clientReader) Read(p []byte) (int, error) {
	if cr.err != nil {
		return 0, cr.err
	}
	cfg := &cr.r.srv.cfg
	if cr.r.bytesIn >= cr.renewAt {
		cr.renewAt, cr.left = cr.r.bytesIn+renewEvery, cfg.BodyTimeout
	}
	began := time.Now()
	wait := min(cr.left, cfg.BodyIdleTimeout)
	if conn := cr.ctx.Conn(); conn != nil {
		_ = conn.SetReadDeadline(began.Add(wait))
	}
	n, err := cr.stream.Read(p)
	cr.left -= time.Since(began)
	cr.r.bytesIn += int64(n)
	switch {
	case cr.length >= 0 && cr.r.bytesIn == int64(cr.length), cr.length < 0 && err == io.EOF:
		cr.r.bodyEnded = true
		cr.err = io.EOF
	case err != nil && timedOut(err):
		cr.err = cr.r.srv.streamTimeout(wait < cfg.BodyIdleTimeout)
	case err != nil:
		cr.err = cr.r.srv.readFailure(err, cr.r.bytesIn, cr.length)
	}
	if n > 0 {
		return n, nil
	}
	return 0, cr.err
}

// StreamBody is the decompressed body of an upload of any size, read from the
// client as the handler reads it. Read fails, and does not end, when the
// connection is cut (400), the client stands still for [Config].BodyIdleTimeout or
// takes longer than BodyTimeout for a MiB (408), or the compressed data is damaged
// (400): errors to be returned by the handler as they are. It is valid until the
// handler returns; the caller closes it.
func StreamBody(c *fiber.Ctx) (io.ReadCloser, error) {
	ctx := c.Context()
	r := requestOf(ctx)
	enc, err := contentEncoding(ctx)
	if err != nil {
		return nil, err
	}
	length := ctx.Request.Header.ContentLength()
	if r.expecting && (length > 0 || length == -1) {
		return nil, errAwaitBody
	}
	stream := ctx.Request.BodyStream()
	if stream == nil || length == 0 {
		stream, length = eofReader{}, -1
	}
	return r.srv.decodeStream(enc, &clientReader{ctx: ctx, r: r, stream: stream, length: length})
}

type eofReader struct{}

// Read implements io.Reader.
func (eofReader) Read([]byte) (int, error) { return 0, io.EOF }

// errNoProgress is a decoder that gives neither bytes nor an end.
var errNoProgress = errors.New("the decoder makes no progress")
