package httpserver

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
)

func TestWhoTheClientIs(t *testing.T) {
	f := start(t, func(c *Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	}, func(s *Server) {
		s.App().Get("/who", func(c *fiber.Ctx) error { return c.SendString(ClientAddress(c).String()) })
	})
	for _, tt := range []struct {
		name      string
		forwarded []string
		want      string
	}{
		{"nobody forwards", nil, "127.0.0.1"},
		{"one proxy", []string{"203.0.113.7"}, "203.0.113.7"},
		{"what the client made up is before it", []string{"1.1.1.1, 203.0.113.7"}, "203.0.113.7"},
		{"two proxies", []string{"203.0.113.7, 10.1.2.3"}, "203.0.113.7"},
		{"two lines", []string{"1.1.1.1,203.0.113.7", "10.1.2.3"}, "203.0.113.7"},
		{"only proxies: the first of them", []string{"10.9.9.9, 10.1.2.3"}, "10.9.9.9"},
		{"with a port", []string{"203.0.113.7:4711"}, "203.0.113.7"},
		{"IPv6", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 with a port", []string{"[2001:db8::1]:4711, fd00::2"}, "2001:db8::1"},
		{"IPv4 inside IPv6", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"a word ends the belief", []string{"203.0.113.7, unknown, 10.1.2.3"}, "10.1.2.3"},
		{"nothing but a word", []string{"+15551234567"}, "127.0.0.1"},
		{"an empty list", []string{""}, "127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers := []string{"X-Request-Id: who"}
			for _, line := range tt.forwarded {
				headers = append(headers, "X-Forwarded-For: "+line)
			}
			if a := f.send(t, "GET", "/who", nil, headers...); a.body != tt.want {
				t.Errorf("got %s, want %s", a.body, tt.want)
			}
			lines := f.log.lines(t, "request")
			if got := lines[len(lines)-1]["client"]; got != tt.want {
				t.Errorf("logged %v", got)
			}
		})
	}
	t.Run("without a trusted proxy nobody is believed", func(t *testing.T) {
		f := start(t, nil, func(s *Server) {
			s.App().Get("/who", func(c *fiber.Ctx) error { return c.SendString(ClientAddress(c).String()) })
		})
		if a := f.send(t, "GET", "/who", nil, "X-Forwarded-For: 203.0.113.7"); a.body != "127.0.0.1" {
			t.Errorf("got %s", a.body)
		}
	})
}

func TestEveryAnswerHasTheSecurityHeaders(t *testing.T) {
	f := start(t, func(c *Config) { c.OpenAPI = []byte("openapi: 3.0.3\n") }, func(s *Server) {
		bodyRoutes(s)
		s.App().Get("/page", func(c *fiber.Ctx) error {
			c.Set("Content-Security-Policy", "default-src 'self'")
			c.Set("Cache-Control", "max-age=60")
			return c.SendString("<p>")
		})
		s.App().Get("/boom", func(*fiber.Ctx) error { panic("boom") })
	})
	want := map[string]string{
		"X-Content-Type-Options":       "nosniff",
		"Cache-Control":                "no-store",
		"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Referrer-Policy":              "no-referrer",
		"Strict-Transport-Security":    "", // not in the clear
		"Server":                       "", // who and which version is nobody's business
	}
	check := func(name string, a answer) {
		t.Helper()
		for header, value := range want {
			if got := a.header.Get(header); got != value {
				t.Errorf("%s (%d): %s is %q, want %q", name, a.status, header, got, value)
			}
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/api/v1/openapi.yaml", "/nothing", "/boom"} {
		check(path, f.send(t, "GET", path, nil))
	}
	check("POST /nobody", f.send(t, "POST", "/nobody", nil))
	check("POST /deny", f.send(t, "POST", "/deny", strings.NewReader("x")))
	check("BREW", f.send(t, "BREW", "/livez", nil))
	c := f.dial(t)
	c.write("not HTTP\r\n\r\n")
	check("no HTTP", c.answer())
	c = f.dial(t)
	c.write("POST /deny HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	check("Expect", c.answer())

	want["Content-Security-Policy"], want["Cache-Control"] = "default-src 'self'", "max-age=60"
	check("a page with a policy of its own", f.send(t, "GET", "/page", nil))
}

func TestOtherOriginsAreAllowedNothing(t *testing.T) {
	f := start(t, nil, bodyRoutes)
	const origin = "Origin: https://elsewhere.example"
	for _, a := range []answer{
		f.send(t, "OPTIONS", "/read", nil, origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"),
		f.send(t, "OPTIONS", "/nothing", nil, origin, "Access-Control-Request-Method: POST"),
		f.send(t, "GET", "/livez", nil, origin),
		f.send(t, "POST", "/nobody", nil, origin),
	} {
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%d has %s: %s", a.status, name, a.header.Get(name))
			}
		}
	}
	wantError(t, f.send(t, "OPTIONS", "/read", nil, origin, "Access-Control-Request-Method: POST"), 405, "not_found")
}
