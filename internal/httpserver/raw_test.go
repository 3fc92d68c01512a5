package httpserver

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// rawConn is a client that does what net/http would not.
type rawConn struct {
	*net.TCPConn
	t testing.TB
	r *bufio.Reader
}

func (f *fixture) dial(t testing.TB) *rawConn {
	t.Helper()
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &rawConn{TCPConn: c.(*net.TCPConn), t: t, r: bufio.NewReader(c)}
}

func (c *rawConn) write(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.TCPConn, s); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// answer reads one whole response.
func (c *rawConn) answer() answer {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("read the answer: %v", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("read the answer's body: %v", err)
	}
	if resp.Close {
		resp.Header.Set("Connection", "close")
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// ended reports whether the server has ended its side: a reset is not an end.
func (c *rawConn) ended() {
	c.t.Helper()
	if _, err := c.r.ReadByte(); err != io.EOF {
		c.t.Fatalf("want the end of the connection, got %v", err)
	}
}

// pump writes n bytes without reading, and reports the first error.
func (c *rawConn) pump(n int) error {
	block := bytes.Repeat([]byte("x"), 64<<10)
	for n > 0 {
		m, err := c.Write(block[:min(n, len(block))])
		if err != nil {
			return err
		}
		n -= m
	}
	return nil
}
