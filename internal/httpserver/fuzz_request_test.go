package httpserver

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// FuzzRequest: whatever bytes a client sends, what comes back is HTTP with the headers of
// every answer or nothing at all, the memory for bodies is given back, and the next
// client is served.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
		"POST /read HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "POST /read HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "POST /read HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /read HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", "GET /livez HTTP/1.1\r\n folded\r\n\r\n", "\x16\x03\x01\x02\x00\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"POST /read HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00", "GET http://other/livez HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1\r\n\r\n", "\r\n\r\n\r\n", "GET /livez HTTP/1.1\nHost: x\n\n",
	} {
		f.Add([]byte(seed))
	}
	server := start(f, func(c *Config) {
		c.HeaderTimeout, c.BodyTimeout, c.BodyIdleTimeout, c.LingerTimeout, c.LogRequests = time.Second, time.Second, time.Second, 100*time.Millisecond, false
	}, bodyRoutes)
	f.Fuzz(func(t *testing.T, sent []byte) {
		conn, err := net.Dial("tcp", server.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = conn.Write(sent) // it may be cut off before it is through
		_ = conn.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(conn)
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Fatalf("no end after %.300q", got)
		}
		if len(got) > 0 && (!bytes.HasPrefix(got, []byte("HTTP/1.1 ")) || !bytes.Contains(got, []byte("\r\nX-Content-Type-Options: nosniff\r\n")) && !bytes.HasPrefix(got, []byte("HTTP/1.1 100 "))) {
			t.Fatalf("answered %.300q", got)
		}
		if a := server.send(t, "GET", "/livez", nil); a.status != 200 {
			t.Fatalf("the next one is answered %d", a.status)
		}
		for deadline := time.Now().Add(10 * time.Second); server.memory.inUse() != 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes are held", server.memory.inUse())
			}
		}
	})
}
