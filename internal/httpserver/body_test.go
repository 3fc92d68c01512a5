package httpserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t testing.TB, data []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// noise is data that does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

// echoRoutes answer with the sum of what they read: /body in memory with the
// given limit, /stream as a stream.
func echoRoutes(limit int) func(*Server) {
	return func(s *Server) {
		s.App().Post("/body", func(c *fiber.Ctx) error {
			b, err := ReadBody(c, limit)
			if err != nil {
				return err
			}
			defer b.Release()
			first, err := b.Decoded(limit)
			if err != nil {
				return err
			}
			second, err := b.Decoded(limit)
			if err != nil || !bytes.Equal(first, second) {
				return fmt.Errorf("the second call gives something else: %v", err)
			}
			return c.SendString(sum(bytes.NewReader(first)))
		})
		s.App().Post("/stream", func(c *fiber.Ctx) error {
			r, err := StreamBody(c)
			if err != nil {
				return err
			}
			defer r.Close()
			h := newHash()
			if _, err := io.Copy(h, r); err != nil {
				return err
			}
			return c.SendString(h.String())
		})
	}
}

func TestBodiesArriveWhole(t *testing.T) {
	f := start(t, nil, echoRoutes(testLimit))
	for _, size := range []int{0, 1, 2, 4095, 4096, 4097, 65536, 65537, 1 << 20, 1<<20 + 1, 4<<20 + 1, testLimit} {
		data := noise(size)
		want := sum(bytes.NewReader(data))
		for _, path := range []string{"/body", "/stream"} {
			if a := f.send(t, "POST", path, bytes.NewReader(data)); a.body != want {
				t.Errorf("%s of %d bytes: %d %s", path, size, a.status, a.body)
			}
			// A reader of an unknown kind makes net/http send chunks.
			if a := f.send(t, "POST", path, io.MultiReader(bytes.NewReader(data))); a.body != want {
				t.Errorf("%s of %d bytes in chunks: %d %s", path, size, a.status, a.body)
			}
		}
	}
}

func TestContentEncodings(t *testing.T) {
	const limit = 1 << 20
	f := start(t, nil, echoRoutes(limit))
	text := bytes.Repeat([]byte(`{"phoneE164":"+15551234567"},`), 1000)
	half := len(text) / 2
	want := sum(bytes.NewReader(text))
	bomb := make([]byte, 20*limit) // raced, to compress a larger one takes longer than all the rest
	tests := []struct {
		name   string
		header string
		body   []byte
		status int
		code   string // or what the body must be
	}{
		{"none", "", text, 200, want},
		{"identity", "identity", text, 200, want},
		{"gzip", "gzip", gzipped(t, text), 200, want},
		{"x-gzip is gzip", "x-gzip", gzipped(t, text), 200, want},
		{"in any case", "GZip", gzipped(t, text), 200, want},
		{"concatenated gzip members", "gzip", append(gzipped(t, text[:half]), gzipped(t, text[half:])...), 200, want},
		{"zstd", "zstd", zstandard(t, text), 200, want},
		{"several zstd frames", "zstd", append(zstandard(t, text[:half]), zstandard(t, text[half:])...), 200, want},
		{"zstd, best compression", "zstd", zstandard(t, text, zstd.WithEncoderLevel(zstd.SpeedBestCompression)), 200, want},
		{"exactly the limit after gzip", "gzip", gzipped(t, make([]byte, limit)), 200, sum(bytes.NewReader(make([]byte, limit)))},
		{"exactly the limit after zstd", "zstd", zstandard(t, make([]byte, limit)), 200, sum(bytes.NewReader(make([]byte, limit)))},
		{"a byte over the limit after gzip", "gzip", gzipped(t, make([]byte, limit+1)), 413, "body_too_large"},
		{"a byte over the limit after zstd", "zstd", zstandard(t, make([]byte, limit+1)), 413, "body_too_large"},
		{"a gzip bomb", "gzip", gzipped(t, bomb), 413, "body_too_large"},
		{"a zstd bomb", "zstd", zstandard(t, bomb), 413, "body_too_large"},
		{"not gzip", "gzip", text, 400, "invalid_json"},
		{"not zstd", "zstd", text, 400, "invalid_json"},
		{"an empty body is not gzip", "gzip", []byte{}, 400, "invalid_json"},
		{"truncated gzip", "gzip", gzipped(t, text)[:50], 400, "invalid_json"},
		{"truncated zstd", "zstd", zstandard(t, noise(1000))[:500], 400, "invalid_json"},
		{"something after the gzip", "gzip", append(gzipped(t, text), "rubbish"...), 400, "invalid_json"},
		{"something after the zstd", "zstd", append(zstandard(t, text), "rubbish"...), 400, "invalid_json"},
		{"gzip with a wrong checksum", "gzip", flipped(gzipped(t, text), -5), 400, "invalid_json"},
		{"zstd with a wrong checksum", "zstd", flipped(zstandard(t, text), -1), 400, "invalid_json"},
		{"deflate", "deflate", text, 415, "unsupported_media_type"},
		{"br", "br", text, 415, "unsupported_media_type"},
		{"stacked", "gzip, gzip", gzipped(t, gzipped(t, text)), 415, "unsupported_media_type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var headers []string
			if tt.header != "" {
				headers = append(headers, "Content-Encoding: "+tt.header)
			}
			a := f.send(t, "POST", "/body", bytes.NewReader(tt.body), headers...)
			if tt.status == 200 {
				if a.status != 200 || a.body != tt.code {
					t.Errorf("got %d %s", a.status, a.body)
				}
			} else {
				wantError(t, a, tt.status, tt.code)
				if _, message := a.code(t); tt.status == 400 && !strings.Contains(message, "Content-Encoding") {
					t.Errorf("message %q", message)
				}
			}

			// The stream agrees, but has no limit and may not be JSON.
			a = f.send(t, "POST", "/stream", bytes.NewReader(tt.body), headers...)
			switch tt.status {
			case 200:
				if a.status != 200 || a.body != tt.code {
					t.Errorf("stream: got %d %s", a.status, a.body)
				}
			case 413:
				if a.status != 200 {
					t.Errorf("stream: got %d %s", a.status, a.body)
				}
			case 400:
				wantError(t, a, 400, "invalid_request")
			case 415:
				wantError(t, a, 415, "unsupported_media_type")
			}
		})
	}
	t.Run("in two header lines", func(t *testing.T) {
		a := f.send(t, "POST", "/body", bytes.NewReader(gzipped(t, text)), "Content-Encoding: identity", "Content-Encoding: gzip")
		wantError(t, a, 415, "unsupported_media_type")
	})
	t.Run("a zstd window over the limit is refused before it is allocated", func(t *testing.T) {
		b := zstandard(t, noise(33<<20), zstd.WithWindowSize(32<<20), zstd.WithSingleSegment(false))
		a := f.send(t, "POST", "/stream", bytes.NewReader(b), "Content-Encoding: zstd")
		wantError(t, a, 400, "invalid_request")
		if _, message := a.code(t); !strings.Contains(message, "window of more than 16777216 bytes") {
			t.Errorf("message %q", message)
		}
	})
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[len(b)+at] ^= 1
	return b
}

func TestBodyLimitIsExact(t *testing.T) {
	f := start(t, nil, echoRoutes(10_000))
	for _, chunked := range []bool{false, true} {
		for size, status := range map[int]int{9_999: 200, 10_000: 200, 10_001: 413} {
			var body io.Reader = bytes.NewReader(make([]byte, size))
			if chunked {
				body = io.MultiReader(body)
			}
			a := f.send(t, "POST", "/body", body)
			if a.status != status {
				t.Errorf("%d bytes, chunked %v: %d %s", size, chunked, a.status, a.body)
			}
			if status == 413 {
				if code, message := a.code(t); code != "body_too_large" || !strings.Contains(message, "the limit is 10000 bytes") {
					t.Errorf("%s %q", code, message)
				}
			}
		}
	}
}

func TestACutBodyIsAnErrorNeverAnEnd(t *testing.T) {
	f := start(t, nil, echoRoutes(1<<20))
	packed := gzipped(t, noise(100_000))
	tests := []struct{ name, head, body string }{
		{"of known length", "Content-Length: 100\r\n\r\n", "half"},
		{"of known length, at its first byte", "Content-Length: 100\r\n\r\n", ""},
		{"one byte short", "Content-Length: 100\r\n\r\n", strings.Repeat("x", 99)},
		{"within a chunk", "Transfer-Encoding: chunked\r\n\r\n", "64\r\nhalf"},
		{"between chunks", "Transfer-Encoding: chunked\r\n\r\n", "4\r\nhalf\r\n"},
		{"before the last line", "Transfer-Encoding: chunked\r\n\r\n", "4\r\nhalf\r\n0\r\n"},
		{"with malformed chunks", "Transfer-Encoding: chunked\r\n\r\n", "4\r\nhalf\r\nrubbish\r\n"},
		{"inside gzip", "Content-Encoding: gzip\r\nContent-Length: 99999\r\n\r\n", string(packed[:5000])},
		{"after a whole gzip member", "Content-Encoding: gzip\r\nContent-Length: 999999\r\n\r\n", string(packed)},
	}
	for _, path := range []string{"/body", "/stream"} {
		for _, tt := range tests {
			t.Run(path+" "+tt.name, func(t *testing.T) {
				c := f.dial(t)
				c.write("POST " + path + " HTTP/1.1\r\nHost: x\r\n" + tt.head + tt.body)
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				a := c.answer()
				wantError(t, a, 400, "invalid_request")
				if _, message := a.code(t); !strings.Contains(message, "cut short") {
					t.Errorf("message %q", message)
				}
			})
		}
	}
}

func TestBodyMemoryIsBounded(t *testing.T) {
	f := start(t, nil, func(s *Server) {
		echoRoutes(testLimit)(s)
		s.memory.max = 4 << 20
	})
	refused := func(a answer) {
		t.Helper()
		wantError(t, a, 503, "unavailable")
		if _, message := a.code(t); !strings.Contains(message, "http.max_body_memory") || a.header.Get("Retry-After") != "1" {
			t.Errorf("%q %v", message, a.header)
		}
	}
	refused(f.send(t, "POST", "/body", bytes.NewReader(make([]byte, 5<<20))))
	refused(f.send(t, "POST", "/body", bytes.NewReader(gzipped(t, make([]byte, 5<<20))), "Content-Encoding: gzip"))
	refused(f.send(t, "POST", "/stream", bytes.NewReader(zstandard(t, []byte("x"))), "Content-Encoding: zstd"))
	if got := testutil.ToFloat64(f.metrics.refused.WithLabelValues(SettingMaxBodyMemory)); got != 3 {
		t.Errorf("%v refusals counted", got)
	}
	// What was refused has given everything back.
	if a := f.send(t, "POST", "/body", bytes.NewReader(make([]byte, 2<<20))); a.status != 200 {
		t.Errorf("a body that fits: %d %s", a.status, a.body)
	}
	if held := f.memory.inUse(); held != 0 {
		t.Errorf("%d bytes held", held)
	}
}

func TestAStreamMayTakeLongerThanOneBodyTimeout(t *testing.T) {
	f := start(t, func(c *Config) { c.BodyTimeout = time.Second }, echoRoutes(1))
	data := noise(6 << 20)
	slow := func(yield func([]byte) bool) {
		for i := range 6 {
			if !yield(data[i<<20 : (i+1)<<20]) {
				return
			}
			time.Sleep(250 * time.Millisecond) // a busy machine may add as much again, twice
		}
	}
	r, w := io.Pipe()
	go func() {
		for block := range slow {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
		w.Close()
	}()
	started := time.Now()
	a := f.send(t, "POST", "/stream", r)
	if a.status != 200 || a.body != sum(bytes.NewReader(data)) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if d := time.Since(started); d < time.Second {
		t.Errorf("took only %s: nothing was proven", d)
	}
}

func TestReleasedBuffersAreUsedAgain(t *testing.T) {
	f := start(t, nil, nil)
	for _, n := range []int{1, 4096, 4097, 1 << 20, 4<<20 + 1, testLimit} {
		buf, err := f.takeBuffer(n)
		if err != nil {
			t.Fatal(err)
		}
		if held := f.memory.inUse(); held != int64(len(buf.b)) || len(buf.b) < n {
			t.Errorf("%d bytes: a buffer of %d, charged %d", n, len(buf.b), held)
		}
		f.giveBuffer(buf)
	}
	var body Body
	body.srv = f.Server
	body.raw, _ = f.takeBuffer(10)
	body.Release()
	body.Release()
	if held := f.memory.inUse(); held != 0 {
		t.Errorf("%d bytes held after two releases", held)
	}
	if _, err := f.takeBuffer(1 << 40); err == nil {
		t.Error("a terabyte was given")
	}
	stream := &decodedStream{srv: f.Server, charge: 10, client: &clientReader{}}
	f.memory.acquire(10)
	_ = stream.Close()
	_ = stream.Close()
	if _, err := stream.Read(nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("read after close: %v", err)
	}
	if held := f.memory.inUse(); held != 0 {
		t.Errorf("%d bytes held after two closes", held)
	}
}
