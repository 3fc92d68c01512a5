package httpserver

import (
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// First says whether it is asked for the first time of this request. A handler that
// runs twice, before the body of "Expect: 100-continue" and with it, has one request.
func First(c *fiber.Ctx) bool {
	r := requestOf(c.Context())
	if r.counted {
		return false
	}
	r.counted = true
	return true
}

// AtEnd runs f when the request is over: before its answer goes out, or, if the answer
// is streamed, when all of it has gone out or its client has left.
func AtEnd(c *fiber.Ctx, f func()) {
	r := requestOf(c.Context())
	r.atEnd = append(r.atEnd, f)
}

// end runs what AtEnd was given, the last first.
func end(all []func()) {
	for i := len(all) - 1; i >= 0; i-- {
		all[i]()
	}
}

// HasBody says whether the request has a body that its handler may read now. (Bodies of
// other methods than POST and PUT are read by nobody.)
func HasBody(c *fiber.Ctx) bool {
	switch string(c.Context().Method()) {
	case fasthttp.MethodPost, fasthttp.MethodPut:
		length := c.Request().Header.ContentLength()
		return (length > 0 || length == -1) && !requestOf(c.Context()).expecting
	}
	return false
}

// smallBody is at most what a body holds of the memory for bodies before anybody asks
// whether it may: 64 KiB × 2,048 requests is the 128 MiB that there are by default.
const smallBody = 64 << 10

// HasLargeBody says whether the body may hold more than 64 KiB.
func HasLargeBody(c *fiber.Ctx) bool {
	length := c.Request().Header.ContentLength()
	return length == -1 || length > smallBody
}
