package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// pair is a self-signed certificate for 127.0.0.1 and its key, in PEM.
func pair(t testing.TB, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// secureFixture is a server under TLS whose files a test replaces.
type secureFixture struct {
	*fixture
	certFile, keyFile string
	trusted           *x509.CertPool
	certLog           *logBuffer
}

func startSecure(t testing.TB, change func(*Config), register func(*Server)) *secureFixture {
	t.Helper()
	dir := t.TempDir()
	sf := &secureFixture{
		certFile: filepath.Join(dir, "tls.crt"), keyFile: filepath.Join(dir, "tls.key"),
		trusted: x509.NewCertPool(), certLog: &logBuffer{},
	}
	cert, key := pair(t, "first")
	sf.put(t, cert, key)
	c, err := OpenCertificate(sf.certFile, sf.keyFile, slog.New(slog.NewJSONHandler(sf.certLog, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Watch(ctx, 5*time.Millisecond) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch: %v", err)
		}
	})
	sf.fixture = start(t, func(cfg *Config) {
		cfg.Certificate = c
		if change != nil {
			change(cfg)
		}
	}, register)
	return sf
}

// put replaces both files and trusts the certificate.
func (sf *secureFixture) put(t testing.TB, cert, key []byte) {
	t.Helper()
	sf.trusted.AppendCertsFromPEM(cert)
	for path, text := range map[string][]byte{sf.certFile: cert, sf.keyFile: key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// secureDial opens a connection under TLS.
func (sf *secureFixture) secureDial(t testing.TB) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", sf.addr, &tls.Config{RootCAs: sf.trusted, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// shown is the name of the certificate that a new connection is shown.
func (sf *secureFixture) shown(t testing.TB) string {
	t.Helper()
	c := sf.secureDial(t)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// get asks for path on an open connection.
func get(t testing.TB, c net.Conn, path string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return readResponse(t, c)
}

// readResponse reads one whole answer; its body is dropped.
func readResponse(t testing.TB, c net.Conn) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatalf("read the answer's body: %v", err)
	}
	return resp
}

func TestTLS(t *testing.T) {
	sf := startSecure(t, nil, bodyRoutes)
	c := sf.secureDial(t)
	if state := c.ConnectionState(); state.Version < tls.VersionTLS12 || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("version %x, protocol %q", state.Version, state.NegotiatedProtocol)
	}
	resp := get(t, c, "/livez")
	if resp.StatusCode != 200 || resp.Header.Get("Strict-Transport-Security") != "max-age=31536000" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	t.Run("older than 1.2 is refused", func(t *testing.T) {
		_, err := tls.Dial("tcp", sf.addr, &tls.Config{RootCAs: sf.trusted, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
		if err == nil || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("TLS 1.1: %v", err)
		}
	})
	t.Run("HTTP without TLS is told so", func(t *testing.T) {
		raw := sf.dial(t)
		raw.write("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		a := raw.answer()
		wantError(t, a, 400, "invalid_request")
		if _, message := a.code(t); !strings.Contains(message, "https://") || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%q %v", message, a.header)
		}
		raw.ended()
	})
	t.Run("a client still sending reads its answer", func(t *testing.T) {
		c := sf.secureDial(t)
		if _, err := io.WriteString(c, "POST /deny HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		block := bytes.Repeat([]byte("x"), 64<<10)
		for range 128 { // 8 MiB before it reads
			if _, err := c.Write(block); err != nil {
				t.Fatalf("the server hung up while sending: %v", err)
			}
		}
		if resp := readResponse(t, c); resp.StatusCode != 401 {
			t.Errorf("status %d", resp.StatusCode)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("want the end of the connection, got %v", err)
		}
	})
	t.Run("a request as long as its answer", func(t *testing.T) {
		c := sf.secureDial(t)
		body := strings.Repeat("x", testLimit)
		if _, err := io.WriteString(c, "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10485760\r\n\r\n"+body); err != nil {
			t.Fatal(err)
		}
		if resp := readResponse(t, c); resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

func TestASlowHandshakeIsBounded(t *testing.T) {
	sf := startSecure(t, func(c *Config) { c.HeaderTimeout = 100 * time.Millisecond }, nil)
	c := sf.dial(t)
	c.write("\x16\x03\x01")
	c.ended()
	if resp := get(t, sf.secureDial(t), "/livez"); resp.StatusCode != 200 {
		t.Errorf("another client: %d", resp.StatusCode)
	}
}

func TestANewCertificateIsShownWithoutDroppingConnections(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	sf := startSecure(t, nil, func(s *Server) {
		s.App().Get("/wait", func(c *fiber.Ctx) error {
			entered <- struct{}{}
			<-leave
			return c.SendString("done")
		})
	})
	old := sf.secureDial(t)
	if _, err := io.WriteString(old, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	cert, key := pair(t, "second")
	sf.put(t, cert, key)
	eventually(t, "the new one is shown", func() bool { return sf.shown(t) == "second" })
	close(leave)
	if resp := readResponse(t, old); resp.StatusCode != 200 {
		t.Errorf("the request in flight: %d", resp.StatusCode)
	}
	if resp := get(t, old, "/livez"); resp.StatusCode != 200 {
		t.Errorf("the connection that was open: %d", resp.StatusCode)
	}

	errorsLogged := func() int { return strings.Count(sf.certLog.String(), `"level":"ERROR"`) }
	stays := func(what string, spoil func()) {
		t.Helper()
		before := errorsLogged()
		spoil()
		eventually(t, what+" is logged", func() bool { return errorsLogged() > before })
		if name := sf.shown(t); name != "second" {
			t.Errorf("%s: %q is shown", what, name)
		}
	}
	_, other := pair(t, "third")
	stays("another certificate's key", func() { sf.write(t, sf.keyFile, other) })
	stays("a file that is no certificate", func() { sf.write(t, sf.certFile, []byte("none")) })
	stays("a file that is gone", func() {
		if err := os.Remove(sf.certFile); err != nil {
			t.Fatal(err)
		}
	})
	if strings.Contains(sf.certLog.String(), "PRIVATE KEY") {
		t.Error("the log quotes the key")
	}
	cert, key = pair(t, "fourth")
	sf.put(t, cert, key)
	eventually(t, "the next good one is shown", func() bool { return sf.shown(t) == "fourth" })
	if n, err := testutil.GatherAndCount(sf.registry, "leadevents_http_tls_certificate_expiry_timestamp_seconds"); n != 1 || err != nil {
		t.Errorf("%d series of the expiry, %v", n, err)
	}
}

// write replaces one file.
func (sf *secureFixture) write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestABadPairIsAnErrorAtTheStart(t *testing.T) {
	dir := t.TempDir()
	cert, _ := pair(t, "a")
	_, key := pair(t, "b")
	certFile, keyFile := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	for path, text := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ cert, key, want string }{
		{certFile, keyFile, "use http.tls_cert_file and http.tls_key_file together: "},
		{certFile, filepath.Join(dir, "none"), "read http.tls_key_file: "},
		{filepath.Join(dir, "none"), keyFile, "read http.tls_cert_file: "},
	} {
		if _, err := OpenCertificate(tt.cert, tt.key, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("got %v, want %s…", err, tt.want)
		}
	}
}
