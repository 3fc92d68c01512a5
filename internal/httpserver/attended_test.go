package httpserver

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
)

// Work for a client ends within a second of its leaving, before anything was answered
// and in the middle of a stream that has nothing to send.
func TestWorkEndsWithItsClient(t *testing.T) {
	began, ended := make(chan struct{}, 1), make(chan time.Time, 1)
	work := func(ctx context.Context) error {
		began <- struct{}{}
		<-ctx.Done()
		ended <- time.Now()
		return ctx.Err()
	}
	f := start(t, nil, func(s *Server) {
		s.App().Get("/answer", func(c *fiber.Ctx) error {
			ctx, stop := Attended(c)
			defer stop()
			return work(ctx)
		})
		s.App().Get("/silent", func(c *fiber.Ctx) error {
			return Stream(c, "text/plain", func(ctx context.Context, _ io.Writer) error { return work(ctx) })
		})
		s.App().Get("/stream", func(c *fiber.Ctx) error {
			return Stream(c, "text/plain", func(ctx context.Context, w io.Writer) error {
				if _, err := w.Write(make([]byte, 2*streamPiece)); err != nil {
					return err
				}
				return work(ctx)
			})
		})
	})
	for _, path := range []string{"/answer", "/silent", "/stream"} {
		// The second request waits unread behind the first: the client's end is seen all the same.
		for _, next := range []string{"", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"} {
			c := f.dial(t)
			c.write("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" + next)
			<-began
			left := time.Now()
			_ = c.Close()
			select {
			case at := <-ended:
				if took := at.Sub(left); took > time.Second {
					t.Errorf("%s %q: ended after %s", path, next, took)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%s %q: goes on", path, next)
			}
		}
	}
}

// A client that waits has not gone, however long it takes.
func TestWorkForAClientThatWaitsGoesOn(t *testing.T) {
	f := start(t, nil, func(s *Server) {
		s.App().Get("/answer", func(c *fiber.Ctx) error {
			ctx, stop := Attended(c)
			defer stop()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * lookEvery):
				return c.SendString("here")
			}
		})
	})
	for range 2 { // the connection is used again
		response, err := http.Get(f.url + "/answer")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || string(text) != "here" {
			t.Errorf("%d %q %v", response.StatusCode, text, err)
		}
	}
}
