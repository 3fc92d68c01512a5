package httpserver

import (
	"strings"

	"github.com/valyala/fasthttp"
)

// securityHeaders are on every answer, errors and other people's bytes too. Where a
// handler has own, what it has set stays.
//
//   - nosniff: metadata and externalIds are whatever a client stored, and a browser
//     must not take them for a page
//   - an answer of the API is for whoever has the key: no cache may keep it
//   - nothing of it is a page, so nothing may be loaded or run, nor frame it. A
//     handler that serves pages brings a policy of its own.
//   - no other origin may embed it, and no link out of it tells where it was
//
// As bytes in their canonical spelling, which saves half of what they cost.
var securityHeaders = [...]struct {
	name, value []byte
	own         bool
}{
	{[]byte("X-Content-Type-Options"), []byte("nosniff"), false},
	{[]byte("Cache-Control"), []byte("no-store"), true},
	{[]byte("Content-Security-Policy"), []byte("default-src 'none'; frame-ancestors 'none'"), true},
	{[]byte("Cross-Origin-Resource-Policy"), []byte("same-origin"), false},
	{[]byte("Referrer-Policy"), []byte("no-referrer"), false},
}

// strictTransport makes browsers that were here over TLS come back over TLS only, for
// a year. Not for subdomains: those are not ours to decide on.
const strictTransport = "max-age=31536000"

// secureHeaders adds what the handler has not set.
//
// There is nothing about CORS, and so no page of another origin can read an answer
// or send anything that needs a preflight: OPTIONS is a method like any other that
// a path does not have, 405.
func secureHeaders(ctx *fasthttp.RequestCtx) {
	header := &ctx.Response.Header
	for i := range securityHeaders {
		h := &securityHeaders[i]
		if !h.own || len(header.PeekBytes(h.name)) == 0 {
			header.SetCanonical(h.name, h.value)
		}
	}
	if _, under := ctx.Conn().(*secureConn); under {
		header.Set(fasthttp.HeaderStrictTransportSecurity, strictTransport)
	}
}

// plainHeaders are the same for answers that are written by hand.
var plainHeaders = func() string {
	var b strings.Builder
	for _, h := range securityHeaders {
		b.WriteString(string(h.name) + ": " + string(h.value) + "\r\n")
	}
	return b.String()
}()
