package httpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"leadevents"
)

const testLimit = 10 << 20

// bodyRoutes are a handler that reads (POST /read), one that answers from the
// headers alone (POST /deny) and one that needs no body (POST /nobody).
func bodyRoutes(s *Server) {
	s.App().Post("/read", Precheck(testLimit), func(c *fiber.Ctx) error {
		b, err := ReadBody(c, testLimit)
		if err != nil {
			return err
		}
		defer b.Release()
		return c.SendString(fmt.Sprint(len(b.Raw())))
	})
	s.App().Post("/deny", func(*fiber.Ctx) error {
		return leadevents.Errorf(leadevents.Unauthenticated, "no credential")
	})
	s.App().Post("/nobody", func(c *fiber.Ctx) error { return c.SendString("done") })
}

func wantError(t *testing.T, a answer, status int, code string) {
	t.Helper()
	got, message := a.code(t)
	if a.status != status || got != code {
		t.Errorf("got %d %s %q, want %d %s", a.status, got, message, status, code)
	}
}

func TestAClientStillSendingReadsItsAnswer(t *testing.T) {
	f := start(t, nil, bodyRoutes)
	head := func(path string, length int) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", path, length)
	}
	tests := []struct {
		name, head string
		chunked    bool
		send       int
		status     int
		code       string
	}{
		{"announces 100 MB, sends 64 KB, then only reads", head("/read", 100<<20), false, 64 << 10, 413, "body_too_large"},
		{"announces 100 MB, sends one byte, then only reads", head("/read", 100<<20), false, 1, 413, "body_too_large"},
		{"sends 30 MB non-stop and only then reads", head("/read", 30<<20), false, 30 << 20, 413, "body_too_large"},
		{"sends 9 MB non-stop to a handler that refuses by the headers", head("/deny", 9<<20), false, 9 << 20, 401, "unauthenticated"},
		{"sends 30 MB in chunks and only then reads", "POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", true, 30 << 20, 413, "body_too_large"},
		{"sends 30 MB in chunks to a handler that refuses", "POST /deny HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", true, 30 << 20, 401, "unauthenticated"},
		{"sends 5 MB of headers", "GET / HTTP/1.1\r\nX: ", false, 5 << 20, 431, "invalid_request"},
		{"sends 5 MB that are not HTTP", "\x16\x03\x01 hello\r\n\r\n", false, 5 << 20, 400, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := f.dial(t)
			c.write(tt.head)
			if tt.chunked {
				block := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("x", 64<<10))
				for range tt.send / (64 << 10) {
					c.write(block)
				}
			} else if err := c.pump(tt.send); err != nil {
				t.Fatalf("the server hung up while sending: %v", err)
			}
			a := c.answer()
			wantError(t, a, tt.status, tt.code)
			if a.header.Get("Connection") != "close" {
				t.Error("the answer does not say that the connection closes")
			}
			c.ended()
		})
	}
}

func TestLingeringIsBounded(t *testing.T) {
	f := start(t, func(c *Config) { c.LingerTimeout = 300 * time.Millisecond }, bodyRoutes)
	t.Run("a client that sends, never reads and never closes", func(t *testing.T) {
		c := f.dial(t)
		c.write("POST /deny HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n")
		if err := c.pump(1 << 20); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it lingers", func() bool { _, lingering := f.conns.counts(); return lingering == 1 })
		eventually(t, "it is closed", func() bool { open, lingering := f.conns.counts(); return open+lingering == 0 })
	})
	t.Run("a client that never stops sending", func(t *testing.T) {
		c := f.dial(t)
		c.write("POST /deny HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n")
		started := time.Now()
		if err := c.pump(1 << 40); err == nil {
			t.Fatal("a terabyte was accepted")
		}
		if d := time.Since(started); d > 5*time.Second {
			t.Errorf("read for %s", d)
		}
	})
	t.Run("more of them than may linger are closed at once", func(t *testing.T) {
		cs := newConnections(f.Server)
		for range maxLingering {
			cs.lingering[new(conn)] = struct{}{}
		}
		client, server := net.Pipe()
		defer client.Close()
		c := &conn{Conn: halfCloser{server}, conns: cs}
		c.unread.Store(true)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection is still open: %v", err)
		}
	})
}

type halfCloser struct{ net.Conn }

func (halfCloser) CloseWrite() error { return nil }

func TestAReaderWhoStopsReadingIsBounded(t *testing.T) {
	big := strings.Repeat("x", 64<<20)
	f := start(t, func(c *Config) { c.WriteTimeout = 100 * time.Millisecond }, func(s *Server) {
		s.App().Get("/big", func(c *fiber.Ctx) error { return c.SendString(big) })
	})
	c := f.dial(t)
	c.write("GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "the connection is open", func() bool { open, _ := f.conns.counts(); return open == 1 })
	eventually(t, "it is given up", func() bool { open, lingering := f.conns.counts(); return open+lingering == 0 })
}

func TestASmallRemainderKeepsTheConnection(t *testing.T) {
	f := start(t, nil, bodyRoutes)
	c := f.dial(t)
	for range 2 {
		c.write("POST /deny HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000))
		a := c.answer()
		wantError(t, a, 401, "unauthenticated")
		if a.header.Get("Connection") == "close" {
			t.Error("closes")
		}
	}
	if open, lingering := f.conns.counts(); open != 1 || lingering != 0 {
		t.Errorf("%d open, %d lingering", open, lingering)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	f := start(t, nil, bodyRoutes)
	c := f.dial(t)
	var all strings.Builder
	for i := range 20 {
		body := strings.Repeat("x", i)
		fmt.Fprintf(&all, "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", i, body)
		fmt.Fprintf(&all, "POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%sy\r\n0\r\n\r\n", i+1, body)
		fmt.Fprintf(&all, "POST /deny HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", i, body)
	}
	c.write(all.String())
	for i := range 20 {
		if a := c.answer(); a.body != fmt.Sprint(i) {
			t.Fatalf("request %d: %d %q", i, a.status, a.body)
		}
		if a := c.answer(); a.body != fmt.Sprint(i+1) {
			t.Fatalf("chunked request %d: %d %q", i, a.status, a.body)
		}
		if a := c.answer(); a.status != 401 {
			t.Fatalf("denied request %d: %d %q", i, a.status, a.body)
		}
	}
}

func TestExpectContinue(t *testing.T) {
	var ran atomic.Int32
	f := start(t, nil, func(s *Server) {
		bodyRoutes(s)
		s.App().Post("/effect", func(c *fiber.Ctx) error {
			ran.Add(1)
			return c.SendString("done")
		})
		s.App().Post("/json", func(c *fiber.Ctx) error {
			var v struct{ A int }
			return ReadJSON(c, 100, &v)
		})
		s.App().Post("/stream", func(c *fiber.Ctx) error {
			r, err := StreamBody(c)
			if err != nil {
				return Fail(c, fmt.Errorf("wrapped by the handler: %w", err))
			}
			defer r.Close()
			n, err := io.Copy(io.Discard, r)
			if err != nil {
				return err
			}
			return c.SendString(fmt.Sprint(n))
		})
	})
	head := func(path, framing string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\nX-Request-Id: e1\r\nExpect: 100-continue\r\n" + framing + "\r\n\r\n"
	}
	t.Run("an error that the headers decide comes instead of 100", func(t *testing.T) {
		for _, tt := range []struct {
			path, framing string
			status        int
			code          string
		}{
			{"/read", "Content-Length: 104857600", 413, "body_too_large"},
			{"/read", "Content-Type: text/plain\r\nContent-Length: 5", 415, "unsupported_media_type"},
			{"/deny", "Content-Length: 5", 401, "unauthenticated"},
			{"/deny", "Transfer-Encoding: chunked", 401, "unauthenticated"},
			{"/nothing", "Content-Length: 5", 404, "not_found"},
		} {
			c := f.dial(t)
			c.write(head(tt.path, tt.framing))
			a := c.answer()
			wantError(t, a, tt.status, tt.code)
			if a.header.Get("X-Request-Id") != "e1" || a.header.Get("Connection") != "close" {
				t.Errorf("headers %v", a.header)
			}
			c.ended()
		}
	})
	t.Run("otherwise 100, then the answer to the body", func(t *testing.T) {
		for _, tt := range []struct{ path, framing, body, want string }{
			{"/read", "Content-Length: 5", "12345", "5"},
			{"/read", "Transfer-Encoding: chunked", "5\r\n12345\r\n0\r\n\r\n", "5"},
			{"/stream", "Content-Length: 5", "12345", "5"},
			{"/json", "Content-Length: 7", `{"A":1}`, ""},
		} {
			c := f.dial(t)
			c.write(head(tt.path, tt.framing))
			if a := c.answer(); a.status != 100 {
				t.Fatalf("%s: want 100 first, got %d %s", tt.path, a.status, a.body)
			}
			c.write(tt.body)
			if a := c.answer(); a.status != 200 || a.body != tt.want || a.header.Get("X-Request-Id") != "e1" {
				t.Errorf("%s: %d %q %v", tt.path, a.status, a.body, a.header)
			}
			c.write("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n") // the connection lives on
			if a := c.answer(); a.status != 200 {
				t.Errorf("the next request: %d", a.status)
			}
		}
	})
	t.Run("a handler that needs no body runs once", func(t *testing.T) {
		c := f.dial(t)
		c.write(head("/effect", "Content-Length: 5"))
		if a := c.answer(); a.status != 200 || a.body != "done" {
			t.Errorf("%d %q", a.status, a.body)
		}
		if n := ran.Load(); n != 1 {
			t.Errorf("ran %d times", n)
		}
	})
	t.Run("a body that is empty anyway is not waited for", func(t *testing.T) {
		c := f.dial(t)
		c.write(head("/read", "Content-Length: 0"))
		if a := c.answer(); a.status != 200 || a.body != "0" {
			t.Errorf("%d %q", a.status, a.body)
		}
	})
	t.Run("a made id is the same in both runs, logged once", func(t *testing.T) {
		before := len(f.log.lines(t, "request"))
		c := f.dial(t)
		c.write("POST /read HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
		c.answer()
		c.write("x")
		id := c.answer().header.Get("X-Request-Id")
		lines := f.log.lines(t, "request")[before:]
		if len(lines) != 1 || lines[0]["requestId"] != id || len(id) != 32 {
			t.Errorf("id %q, logged %v", id, lines)
		}
	})
}

func TestSlowAndSilentClients(t *testing.T) {
	f := start(t, func(c *Config) {
		c.HeaderTimeout = 150 * time.Millisecond
		c.BodyTimeout = 300 * time.Millisecond
		c.IdleTimeout = 150 * time.Millisecond
		c.LingerTimeout = 100 * time.Millisecond
	}, bodyRoutes)
	t.Run("half a header is 408", func(t *testing.T) {
		c := f.dial(t)
		c.write("POST /read HTTP/1.1\r\nHos")
		wantError(t, c.answer(), 408, "invalid_request")
		c.ended()
	})
	t.Run("no byte of an announced body is 408", func(t *testing.T) {
		c := f.dial(t)
		c.write("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
		wantError(t, c.answer(), 408, "invalid_request")
		c.ended()
	})
	t.Run("a body that stands still is 408, though each byte came in time", func(t *testing.T) {
		for _, framing := range []string{"Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3E8\r\n"} {
			c := f.dial(t)
			c.write("POST /read HTTP/1.1\r\nHost: x\r\n" + framing)
			go func() {
				for range 200 {
					if _, err := c.Write([]byte("x")); err != nil {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			}()
			a := c.answer()
			wantError(t, a, 408, "invalid_request")
			if _, message := a.code(t); !strings.Contains(message, "300ms (http.body_timeout)") {
				t.Errorf("message %q", message)
			}
		}
	})
	t.Run("a connection without a byte, or idle, is closed without a word", func(t *testing.T) {
		f.dial(t).ended()
		c := f.dial(t)
		c.write("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		c.answer()
		c.ended()
	})
}

func TestAThousandSlowBodiesHoldLittle(t *testing.T) {
	f := start(t, nil, bodyRoutes)
	before := memoryInUse()
	const n = 1000
	for range n {
		c := f.dial(t)
		c.write("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", 100))
	}
	eventually(t, "all are being read", func() bool { return f.memory.inUse() == n*4<<10 })
	eventually(t, "none is counted as being handled", func() bool { return f.requests.inUse() == 0 })
	// 8 KiB and 4 KiB of buffers, the body's 4, a goroutine, contexts; the
	// clients of this test too.
	grown := (memoryInUse() - before) / n
	t.Logf("%d bytes a connection, the test's own clients included", grown)
	if grown > 64<<10 {
		t.Errorf("each connection holds %d bytes", grown)
	}
	// The server is not full for others.
	if a := f.send(t, "POST", "/read", strings.NewReader(strings.Repeat("x", testLimit))); a.status != 200 {
		t.Errorf("another request: %d %s", a.status, a.body)
	}
	f.stopSlow(t)
}

// stopSlow ends a server whose clients will never finish.
func (f *fixture) stopSlow(t *testing.T) {
	t.Helper()
	f.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := f.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-f.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	eventually(t, "all memory is back", func() bool { return f.memory.inUse() == 0 && f.requests.inUse() == 0 })
}

func memoryInUse() int64 {
	runtime.GC()
	runtime.GC() // the second empties the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func TestOneConnectionTooManyIsToldSo(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := start(t, func(c *Config) { c.MaxConnections = 2 }, func(s *Server) {
		s.App().Get("/wait", func(*fiber.Ctx) error {
			entered <- struct{}{}
			<-leave
			return nil
		})
	})
	a, b := f.dial(t), f.dial(t)
	for _, c := range []*rawConn{a, b} {
		c.write("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
		<-entered
	}
	third := f.dial(t)
	third.write("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	got := third.answer()
	wantError(t, got, 503, "unavailable")
	if _, message := got.code(t); !strings.Contains(message, "http.max_connections") || got.header.Get("Retry-After") != "1" {
		t.Errorf("%q %v", message, got.header)
	}
	third.ended()
	close(leave)
	for _, c := range []*rawConn{a, b} {
		if got := c.answer(); got.status != 200 {
			t.Errorf("one of those before: %d", got.status)
		}
	}
	fourth := f.dial(t)
	fourth.write("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := fourth.answer(); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
}

func TestOneRequestTooManyIsToldSo(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := start(t, func(c *Config) { c.MaxRequests = 1 }, func(s *Server) {
		s.App().Get("/wait", func(c *fiber.Ctx) error {
			entered <- struct{}{}
			<-leave
			return nil
		})
	})
	first := f.dial(t)
	first.write("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	a := f.send(t, "GET", "/wait", nil)
	wantError(t, a, 503, "unavailable")
	if _, message := a.code(t); !strings.Contains(message, "http.max_requests") || a.header.Get("Retry-After") != "1" {
		t.Errorf("%q %v", message, a.header)
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if a := f.send(t, "GET", path, nil); a.status != 200 {
			t.Errorf("%s of a full server: %d", path, a.status)
		}
	}
	close(leave)
	if a := first.answer(); a.status != 200 {
		t.Errorf("the first: %d", a.status)
	}
}
