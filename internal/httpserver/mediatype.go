package httpserver

import (
	"mime"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"leadevents"
)

// encoding is a Content-Encoding that bodies may have.
type encoding uint8

const (
	identity encoding = iota
	gzipEncoding
	zstdEncoding
)

// String is the encoding's name in the header.
func (e encoding) String() string { return [...]string{"identity", "gzip", "zstd"}[e] }

// contentEncoding reads the header; unknown and stacked ones are 415.
func contentEncoding(ctx *fasthttp.RequestCtx) (encoding, error) {
	h := &ctx.Request.Header
	value := h.Peek(fasthttp.HeaderContentEncoding)
	if len(value) == 0 {
		return identity, nil
	}
	if len(h.PeekAll(fasthttp.HeaderContentEncoding)) == 1 {
		switch strings.ToLower(strings.TrimSpace(string(value))) {
		case "", "identity":
			return identity, nil
		case "gzip", "x-gzip": // RFC 9110 8.4.1.3: equivalent
			return gzipEncoding, nil
		case "zstd":
			return zstdEncoding, nil
		}
	}
	return identity, leadevents.Errorf(leadevents.UnsupportedMediaType,
		"Content-Encoding must be gzip, zstd or identity, one of them and once")
}

// CheckContentType gives the request's media type, in lower case, if it is one
// of those accepted (JSON if none are named), else 415. A request without
// Content-Type is JSON. A charset other than UTF-8 is 415 too.
func CheckContentType(c *fiber.Ctx, accepted ...string) (string, error) {
	if len(accepted) == 0 {
		accepted = jsonOnly
	}
	header := c.Context().Request.Header.ContentType()
	mediaType := fiber.MIMEApplicationJSON
	switch string(header) {
	case "", fiber.MIMEApplicationJSON:
	default:
		parsed, params, err := mime.ParseMediaType(string(header))
		if err != nil {
			return "", leadevents.Errorf(leadevents.UnsupportedMediaType, "Content-Type is malformed; it must be %s", oneOf(accepted))
		}
		if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
			return "", leadevents.Errorf(leadevents.UnsupportedMediaType, "the charset in Content-Type must be utf-8")
		}
		mediaType = parsed
	}
	for _, a := range accepted {
		if a == mediaType {
			return a, nil
		}
	}
	return "", leadevents.Errorf(leadevents.UnsupportedMediaType, "Content-Type must be %s", oneOf(accepted))
}

var jsonOnly = []string{fiber.MIMEApplicationJSON}

func oneOf(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// NoLimit is the limit of bodies that are streamed.
const NoLimit = -1

// Precheck is the first handler of a route with a body, before authentication:
// it answers 415 for Content-Type and Content-Encoding and 413 for a
// Content-Length over limit (NoLimit for none), as the contract's order
// demands. A chunked body over limit is found out when it is read.
func Precheck(limit int, accepted ...string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if _, err := CheckContentType(c, accepted...); err != nil {
			return Fail(c, err)
		}
		if _, err := contentEncoding(c.Context()); err != nil {
			return Fail(c, err)
		}
		if n := c.Context().Request.Header.ContentLength(); limit != NoLimit && n > limit {
			return Fail(c, tooLarge(limit, "the body is %d bytes", n))
		}
		return c.Next()
	}
}
