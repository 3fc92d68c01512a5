package httpserver

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"leadevents"
)

// A request is counted once, also if its handler runs before its body and with it, and
// so is each of those that follow on the connection.
func TestARequestIsFirstOnce(t *testing.T) {
	var counted, ran, ended, bodies atomic.Int64
	f := start(t, nil, func(s *Server) {
		s.App().Post("/body", func(c *fiber.Ctx) error {
			ran.Add(1)
			AtEnd(c, func() { ended.Add(1) })
			if First(c) {
				counted.Add(1)
			}
			if First(c) {
				t.Error("a request is first twice")
			}
			if HasBody(c) {
				bodies.Add(1)
			}
			body, err := ReadBody(c, 1<<20)
			if err != nil {
				return err
			}
			defer body.Release()
			return c.SendString(string(body.Raw()))
		})
	})
	conn := f.dial(t)
	for i := range 3 {
		conn.write("POST /body HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} {
			if line, err := conn.r.ReadString('\n'); err != nil || line != want {
				t.Fatalf("%q, %v; want %q", line, err, want)
			}
		}
		conn.write("hello")
		response, err := http.ReadResponse(conn.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || string(text) != "hello" {
			t.Fatalf("%d %q, %v", response.StatusCode, text, err)
		}
		conn.write("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
		if response, err = http.ReadResponse(conn.r, nil); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("without Expect: %v, %v", response, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		if n := int64(2*i + 2); counted.Load() != n || bodies.Load() != n || ran.Load() != ended.Load() || ran.Load() != int64(3*i+3) {
			t.Errorf("%d requests: %d counted, with %d bodies; %d handlers ran, and %d ended", n, counted.Load(), bodies.Load(), ran.Load(), ended.Load())
		}
	}
}

// Bodies that no handler reads are none, and how large one is says its header.
func TestWhichRequestsHaveBodies(t *testing.T) {
	var has, large atomic.Bool
	f := start(t, nil, func(s *Server) {
		s.App().All("/", func(c *fiber.Ctx) error {
			has.Store(HasBody(c))
			large.Store(HasLargeBody(c))
			return c.SendStatus(http.StatusNoContent)
		})
	})
	for _, tc := range []struct {
		method, body string
		chunked      bool
		has, large   bool
	}{
		{"POST", "", false, false, false},
		{"POST", "x", false, true, false},
		{"PUT", "x", true, true, true},
		{"PUT", strings.Repeat("x", smallBody), false, true, false},
		{"POST", strings.Repeat("x", smallBody+1), false, true, true},
		{"GET", "x", false, false, false},
		{"DELETE", "", false, false, false},
	} {
		var body io.Reader = strings.NewReader(tc.body)
		if tc.chunked {
			body = io.MultiReader(body) // of a length that nobody knows
		}
		request, err := http.NewRequestWithContext(t.Context(), tc.method, f.url+"/", body)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if has.Load() != tc.has || large.Load() != tc.large {
			t.Errorf("%s of %d bytes, chunked %t: a body %t, a large one %t", tc.method, len(tc.body), tc.chunked, has.Load(), large.Load())
		}
	}
}

// What a request holds is given back when it is over: of a stream when its client has
// all of it, or has gone, or when it fails before it begins; and after a panic.
func TestAtEnd(t *testing.T) {
	var held atomic.Int64
	take := func(c *fiber.Ctx) {
		held.Add(1)
		AtEnd(c, func() { held.Add(-1) })
	}
	writing := make(chan struct{}, 1)
	f := start(t, func(c *Config) { c.WriteTimeout = 2 * time.Second }, func(s *Server) {
		s.App().Get("/panic", func(c *fiber.Ctx) error { take(c); panic("a bug") })
		s.App().Get("/fails", func(c *fiber.Ctx) error {
			take(c)
			return Stream(c, "text/plain", func(context.Context, io.Writer) error { return leadevents.Errorf(leadevents.Conflict, "not yet") })
		})
		s.App().Get("/stream", func(c *fiber.Ctx) error {
			take(c)
			return Stream(c, "text/plain", func(_ context.Context, w io.Writer) error {
				for i := range 1000 {
					if _, err := w.Write(bytes.Repeat([]byte("x"), 64<<10)); err != nil {
						return err
					}
					if i == 1 { // further than that a client that does not read may not let it
						select {
						case writing <- struct{}{}:
						default:
						}
					}
				}
				return nil
			})
		})
	})
	free := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); held.Load() != 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d are held", what, held.Load())
			}
		}
	}
	for path, want := range map[string]int{"/panic": 500, "/fails": 409, "/stream": 200} {
		response, err := http.Get(f.url + path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != want {
			t.Errorf("%s: %d, %d bytes, %v", path, response.StatusCode, n, err)
		}
		free(path)
	}
	<-writing
	c := f.dial(t)
	c.write("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
	<-writing
	if held.Load() != 1 {
		t.Errorf("%d are held while the client has not read all", held.Load())
	}
	_ = c.Close()
	free("a client that has gone")
	c = f.dial(t)
	c.write("HEAD /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	_, _ = io.Copy(io.Discard, c.r)
	free("a client that asks for the header")
}
