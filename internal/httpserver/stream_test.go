package httpserver

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
)

func TestAClientThatStandsStillIsTold(t *testing.T) {
	f := start(t, func(c *Config) { c.BodyIdleTimeout = 50 * time.Millisecond }, echoRoutes(1))
	for name, head := range map[string]string{
		"of known length": "Content-Length: 100\r\n\r\nhalf", "chunked": "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"compressed": "Content-Encoding: gzip\r\nContent-Length: 100\r\n\r\n\x1f\x8b\x08",
	} {
		t.Run(name, func(t *testing.T) {
			c := f.dial(t)
			c.write("POST /stream HTTP/1.1\r\nHost: x\r\n" + head)
			a := c.answer()
			wantError(t, a, 408, "invalid_request")
			if _, message := a.code(t); !strings.Contains(message, "nothing of the body came for 50ms (http.body_idle_timeout)") {
				t.Errorf("message %q", message)
			}
		})
	}
}

// A client that never stands still, but sends a byte now and then, would hold an
// upload's place for days.
func TestAClientThatCrawlsIsTold(t *testing.T) {
	f := start(t, func(c *Config) { c.BodyTimeout, c.BodyIdleTimeout = 200*time.Millisecond, time.Minute }, echoRoutes(1))
	c := f.dial(t)
	c.write("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
	answered := make(chan struct{})
	go func() {
		for {
			select {
			case <-answered:
				return
			case <-time.After(10 * time.Millisecond):
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
			}
		}
	}()
	a := c.answer()
	close(answered)
	wantError(t, a, 408, "invalid_request")
	if _, message := a.code(t); !strings.Contains(message, "the body came too slowly: a MiB of it has 200ms (http.body_timeout)") {
		t.Errorf("message %q", message)
	}
}

// What the handler takes between two reads is not the client's time.
func TestAHandlerMayTakeItsTimeBetweenReads(t *testing.T) {
	const limit = 50 * time.Millisecond
	f := start(t, func(c *Config) { c.BodyTimeout, c.BodyIdleTimeout = limit, limit }, func(s *Server) {
		s.App().Post("/slow", func(c *fiber.Ctx) error {
			r, err := StreamBody(c)
			if err != nil {
				return err
			}
			defer r.Close()
			for piece := make([]byte, 100); err == nil; time.Sleep(limit / 5) {
				_, err = io.ReadFull(r, piece)
			}
			if err != io.EOF {
				return err
			}
			return c.SendString("all")
		})
	})
	c := f.dial(t)
	c.write("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + strings.Repeat("x", 2000))
	if a := c.answer(); a.status != 200 || a.body != "all" {
		t.Errorf("%d %s", a.status, a.body)
	}
}
