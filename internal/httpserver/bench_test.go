package httpserver

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// BenchmarkHandle is the server's own work on a request, without a socket.
func BenchmarkHandle(b *testing.B) {
	for _, logged := range []bool{true, false} {
		b.Run(map[bool]string{true: "logged", false: "unlogged"}[logged], func(b *testing.B) {
			cfg := DefaultConfig()
			cfg.LogRequests = logged
			reg := prometheus.NewRegistry()
			s, err := New(cfg, slog.New(slog.NewJSONHandler(discard{}, nil)), reg, reg)
			if err != nil {
				b.Fatal(err)
			}
			s.App().Get("/things/:id", func(c *fiber.Ctx) error { return c.SendString("ok") })
			s.App().Handler()
			var req fasthttp.Request
			req.SetRequestURI("/things/1")
			var ctx fasthttp.RequestCtx
			ctx.Init(&req, nil, nil)
			b.ReportAllocs()
			for b.Loop() {
				s.handle(&ctx)
				ctx.Response.Reset()
			}
		})
	}
}

// discard is a sink that slog does not recognize as one.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkRoundTrip is a POST of one event's size over loopback connections,
// its body read; client and server share the processors.
func BenchmarkRoundTrip(b *testing.B) {
	f := start(b, nil, func(s *Server) {
		s.App().Post("/read", Precheck(testLimit), func(c *fiber.Ctx) error {
			body, err := ReadBody(c, testLimit)
			if err != nil {
				return err
			}
			defer body.Release()
			if _, err := body.Decoded(testLimit); err != nil {
				return err
			}
			return c.SendString(`{"status":"accepted"}`)
		})
	})
	f.Server.logger = slog.New(slog.NewJSONHandler(discard{}, nil))
	body := strings.Repeat("x", 180)
	request := fmt.Appendf(nil, "POST /read HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", f.addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		var resp fasthttp.Response
		for pb.Next() {
			if _, err := c.Write(request); err != nil {
				b.Error(err)
				return
			}
			if err := resp.Read(r); err != nil || resp.StatusCode() != 200 {
				b.Errorf("%d %v", resp.StatusCode(), err)
				return
			}
		}
	})
}
