package httpserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"leadevents"
)

// secureConn is a connection under TLS. fasthttp knows it by its two methods, and
// calls Handshake in the connection's own goroutine: a slow client holds up nobody.
type secureConn struct {
	*conn
	session *tls.Conn
}

// secure puts TLS on a connection.
func (l *listener) secure(c *conn) net.Conn {
	session := tls.Server(c.raw, l.tls)
	c.Conn = session
	return &secureConn{conn: c, session: session}
}

// connOf is the connection of ours behind fasthttp's; nil for none.
func connOf(nc net.Conn) *conn {
	switch c := nc.(type) {
	case *conn:
		return c
	case *secureConn:
		return c.conn
	}
	return nil
}

// Handshake has the time that a client may take for its headers, which then begins
// anew. A client that speaks HTTP without TLS is told so, in HTTP.
func (c *secureConn) Handshake() error {
	if err := c.raw.SetDeadline(time.Now().Add(c.conns.srv.cfg.HeaderTimeout)); err != nil {
		return err
	}
	err := c.session.Handshake()
	if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && plain.Conn != nil && looksLikeHTTP(plain.RecordHeader) {
		c.plainly(leadevents.Errorf(leadevents.InvalidRequest, "this address speaks HTTPS: use https:// in the URL"), fasthttp.StatusBadRequest)
		c.unread.Store(true) // the rest of the request, so that the answer is read
	}
	return err
}

// ConnectionState implements what fasthttp asks of a connection under TLS.
func (c *secureConn) ConnectionState() tls.ConnectionState { return c.session.ConnectionState() }

// looksLikeHTTP says whether the first bytes are a method's.
func looksLikeHTTP(first [5]byte) bool {
	switch string(first[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "DELET", "OPTIO", "PATCH":
		return true
	}
	return false
}

// plainly answers e on the socket itself, below TLS and before there is a request.
// A fresh socket's send buffer takes these few hundred bytes at once.
func (c *conn) plainly(e *leadevents.Error, status int) {
	id := requestID(nil)
	body := errorBody(e, id)
	retry := ""
	if status == fasthttp.StatusServiceUnavailable {
		retry = "Retry-After: 1\r\n"
	}
	answer := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: application/json\r\n%s%s: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		status, fasthttp.StatusMessage(status), retry, headerRequestID, id, plainHeaders, len(body), body)
	_ = c.raw.SetWriteDeadline(time.Now().Add(c.conns.srv.cfg.WriteTimeout))
	_, _ = c.raw.Write(answer)
}
