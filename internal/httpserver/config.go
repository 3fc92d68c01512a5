package httpserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// The names of the settings that a refusal tells its reader to raise. The
// settings file spells them the same way.
const (
	SettingMaxHeaderBytes  = "http.max_header_bytes"
	SettingMaxConnections  = "http.max_connections"
	SettingMaxRequests     = "http.max_requests"
	SettingMaxBodyMemory   = "http.max_body_memory"
	SettingHeaderTimeout   = "http.header_timeout"
	SettingBodyTimeout     = "http.body_timeout"
	SettingBodyIdleTimeout = "http.body_idle_timeout"
)

// Config bounds everything a client can make the server hold. Start from
// [DefaultConfig]; [New] refuses a value out of range.
type Config struct {
	// MaxHeaderBytes is the longest request line and headers together, and the
	// read buffer of each connection. 1,024 to 1,048,576.
	MaxHeaderBytes int
	// MaxConnections is how many connections are open at once. For one more, that
	// which has waited longest for a request or its body is closed; while a request is handled
	// on each, it is answered 503 (under TLS closed without an answer). 1 to
	// 1,000,000.
	MaxConnections int
	// MaxRequests is how many requests are handled at once; one more is
	// answered 503. /livez, /readyz and /metrics are not counted, nor is a request
	// while its body comes ([ReadBody]). 1 to 1,000,000.
	MaxRequests int
	// MaxBodyMemory is how many bytes of request bodies, raw and decompressed
	// together, are held at once; a body that does not fit is answered 503.
	// At least 32 MiB, so that one body of the contract's 10 MiB fits, sent
	// compressed and with the buffer it grew out of.
	MaxBodyMemory int64
	// HeaderTimeout is how long a client may take for request line and headers.
	HeaderTimeout time.Duration
	// BodyTimeout is how long a client may take for a whole body; a streamed
	// body ([StreamBody]) has it anew for each MiB.
	BodyTimeout time.Duration
	// BodyIdleTimeout is how long a client may stand still within a streamed body.
	BodyIdleTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request.
	IdleTimeout time.Duration
	// WriteTimeout is how long one write of up to a buffer (4 KiB, or more for
	// a large answer) may take, so a long export lives as long as it moves.
	WriteTimeout time.Duration
	// LingerTimeout is how long the server goes on reading (and dropping) what a
	// client still sends after it was answered, so that the client gets to read
	// the answer. Without it the kernel would reset the connection.
	LingerTimeout time.Duration
	// ReadinessTimeout is how long /readyz waits for its checks.
	ReadinessTimeout time.Duration
	// LogRequests writes one line a request; without it only answers of 500
	// and above are logged.
	LogRequests bool
	// Certificate is what is shown under TLS; without one HTTP is served in the
	// clear. Its Watch is the caller's to run.
	Certificate *Certificate
	// TrustedProxies are the addresses whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// OpenAPI is the document served at /api/v1/openapi.yaml; without it that
	// path does not exist.
	OpenAPI []byte
}

// DefaultConfig is what a server on a small machine runs with. Worst case of
// memory: 4,096 connections × (8 KiB read + 4 KiB write buffer + about 8 KiB
// goroutine and context) = 80 MiB, and 128 MiB of bodies.
func DefaultConfig() Config {
	return Config{
		MaxHeaderBytes:   8 << 10,
		MaxConnections:   4096,
		MaxRequests:      2048,
		MaxBodyMemory:    128 << 20,
		HeaderTimeout:    10 * time.Second,
		BodyTimeout:      2 * time.Minute,
		BodyIdleTimeout:  30 * time.Second,
		IdleTimeout:      2 * time.Minute,
		WriteTimeout:     30 * time.Second,
		LingerTimeout:    10 * time.Second,
		ReadinessTimeout: 3 * time.Second,
		LogRequests:      true,
	}
}

// Validate says which value is out of range.
func (c Config) Validate() error {
	ints := []struct {
		name            string
		value, min, max int64
	}{
		{SettingMaxHeaderBytes, int64(c.MaxHeaderBytes), 1 << 10, 1 << 20},
		{SettingMaxConnections, int64(c.MaxConnections), 1, 1_000_000},
		{SettingMaxRequests, int64(c.MaxRequests), 1, 1_000_000},
		{SettingMaxBodyMemory, c.MaxBodyMemory, 32 << 20, 1 << 40},
	}
	for _, v := range ints {
		if v.value < v.min || v.value > v.max {
			return fmt.Errorf("%s is %d; it must be %d to %d", v.name, v.value, v.min, v.max)
		}
	}
	durations := []struct {
		name  string
		value time.Duration
	}{
		{SettingHeaderTimeout, c.HeaderTimeout},
		{SettingBodyTimeout, c.BodyTimeout},
		{SettingBodyIdleTimeout, c.BodyIdleTimeout},
		{"http.idle_timeout", c.IdleTimeout},
		{"http.write_timeout", c.WriteTimeout},
		{"http.linger_timeout", c.LingerTimeout},
		{"http.readiness_timeout", c.ReadinessTimeout},
	}
	for _, v := range durations {
		if v.value < time.Millisecond || v.value > 24*time.Hour {
			return fmt.Errorf("%s is %s; it must be 1ms to 24h", v.name, v.value)
		}
	}
	return nil
}

// Listen opens a TCP listener on addr ("127.0.0.1:8080", port 0 for a free
// one) with an error that says what to do.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: another program has this port; stop it or choose another address: %w", addr, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: this user may not open that port; choose one from 1024 on: %w", addr, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("listen on %s: this machine does not have that address: %w", addr, err)
	default:
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
}
