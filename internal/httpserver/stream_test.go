package httpserver

import (
	"bytes"
	"context"
	"errors"
	"io"

	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"leadevents"
)

// streaming is a server whose GET /stream answers what produce writes.
func streaming(t *testing.T, produce func(ctx context.Context, w io.Writer) error) *fixture {
	return start(t, func(c *Config) { c.WriteTimeout = 2 * time.Second }, func(s *Server) {
		s.App().Get("/stream", func(c *fiber.Ctx) error { return Stream(c, "text/plain", produce) })
	})
}

func TestStreamIsWholeAndInPieces(t *testing.T) {
	whole := bytes.Repeat([]byte("0123456789abcdefg\n"), 100_000)
	for _, size := range []int{0, 1, streamPiece - 1, streamPiece, streamPiece + 1, len(whole)} {
		for _, step := range []int{7, 4096, len(whole)} {
			if step == 7 && size > 2*streamPiece {
				continue
			}
			f := streaming(t, func(_ context.Context, w io.Writer) error {
				for rest := whole[:size]; len(rest) > 0; {
					n, err := w.Write(rest[:min(step, len(rest))])
					if err != nil {
						return err
					}
					rest = rest[n:]
				}
				return nil
			})
			response, err := http.Get(f.url + "/stream")
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || !bytes.Equal(got, whole[:size]) || response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/plain" {
				t.Errorf("%d bytes in steps of %d: %d %v, %d bytes, %v", size, step, response.StatusCode, response.Header, len(got), err)
			}
		}
	}
}

// Before the first piece an error is an answer; after it the connection is cut, and
// no client takes the part for the whole.
func TestStreamThatFails(t *testing.T) {
	for _, c := range []struct {
		bytes int
		fail  func() error
		want  int // 0: cut
	}{
		{0, func() error { return leadevents.Errorf(leadevents.Conflict, "not yet") }, http.StatusConflict},
		{1000, func() error { return leadevents.Errorf(leadevents.Unavailable, "gone") }, http.StatusServiceUnavailable},
		{1000, func() error { panic("a bug") }, http.StatusInternalServerError},
		{streamPiece, func() error { return errors.New("gone") }, 0},
		{5 * streamPiece, func() error { panic("a bug") }, 0},
	} {
		f := streaming(t, func(_ context.Context, w io.Writer) error {
			if _, err := w.Write(bytes.Repeat([]byte("x"), c.bytes)); err != nil {
				return err
			}
			return c.fail()
		})
		response, err := http.Get(f.url + "/stream")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		switch {
		case c.want == 0 && (err == nil || response.StatusCode != http.StatusOK):
			t.Errorf("after %d bytes: %d, %d bytes, and a clean end", c.bytes, response.StatusCode, len(got))
		case c.want != 0 && (err != nil || response.StatusCode != c.want || !strings.Contains(string(got), `"error"`)):
			t.Errorf("after %d bytes: %d %.200s %v, want %d", c.bytes, response.StatusCode, got, err, c.want)
		}
	}
}

// Whoever makes the stream is told when the client is gone, and when it only asked
// for the header.
func TestStreamEndsWithItsClient(t *testing.T) {
	ended := make(chan error, 1)
	f := streaming(t, func(ctx context.Context, w io.Writer) error {
		for {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				ended <- err
				return err
			}
		}
	})
	gone := func(what string) {
		t.Helper()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: the stream goes on", what)
		}
	}
	c := f.dial(t)
	c.write("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := io.CopyN(io.Discard, c.r, 1<<20); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	gone("a client that closes")
	response, err := http.Head(f.url + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	gone("HEAD")
	// One that stands still has WriteTimeout for a piece.
	still := f.dial(t)
	still.write("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
	gone("a client that stands still")
	// So has one that reads a byte now and then: moving is not enough.
	sips := f.dial(t)
	if err := sips.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	sips.write("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := sips.Read(make([]byte, 1)); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	gone("a client that reads a byte now and then")
	_ = sips.Close()
	<-done
}

// A client that reads slowly and never stands still gets all of it, however much the
// kernel would have buffered.
func TestAReaderThatMovesIsNotCut(t *testing.T) {
	const size, step, pause = 6 << 20, 35 << 10, 50 * time.Millisecond // 700 KB a second
	f := start(t, func(c *Config) { c.WriteTimeout = time.Second }, func(s *Server) {
		s.App().Get("/stream", func(c *fiber.Ctx) error {
			return Stream(c, "text/plain", func(_ context.Context, w io.Writer) error {
				_, err := w.Write(make([]byte, size))
				return err
			})
		})
	})
	c := f.dial(t)
	if err := c.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	c.write("GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	got := 0
	for buf := make([]byte, step); ; {
		n, err := io.ReadFull(c.TCPConn, buf)
		got += n
		if err != nil {
			break
		}
		time.Sleep(pause) // the client's pace
	}
	if got < size {
		t.Errorf("cut off after %d of %d bytes", got, size)
	}
}
