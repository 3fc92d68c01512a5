package httpserver

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// The names of the settings of TLS and of clients' addresses.
const (
	SettingTLSCertFile    = "http.tls_cert_file"
	SettingTLSKeyFile     = "http.tls_key_file"
	SettingTrustedProxies = "http.trusted_proxies"
)

// maxPEMFile is more than any chain of certificates needs.
const maxPEMFile = 1 << 20

// Certificate is what a server shows its clients under TLS: a chain and its key,
// read from two files, and again when they change ([Certificate.Watch]).
type Certificate struct {
	certFile, keyFile string
	logger            *slog.Logger
	current           atomic.Pointer[tls.Certificate]
	seen              string // what the files were at the last look, good or bad
}

// OpenCertificate reads the pair; one that cannot be used is an error.
func OpenCertificate(certFile, keyFile string, logger *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	seen, pair, err := c.read()
	if err != nil {
		return nil, err
	}
	c.seen = seen
	c.use(pair)
	return c, nil
}

// NotAfter is when the certificate in use expires.
func (c *Certificate) NotAfter() time.Time { return c.current.Load().Leaf.NotAfter }

// Watch looks at the files that often, until ctx ends. What it compares is their
// content: times and inodes say too little of files that are links, or copied. New
// connections get the new pair, those that are open keep theirs. A pair that cannot
// be used (one file of two was written so far) is logged, once, and changes nothing.
func (c *Certificate) Watch(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			c.look()
		}
	}
}

func (c *Certificate) look() {
	seen, pair, err := c.read()
	if seen == c.seen {
		return
	}
	c.seen = seen
	if err != nil {
		c.logger.Error("the new TLS certificate cannot be used; the one before stays", "error", err, "expires", c.NotAfter())
		return
	}
	c.use(pair)
}

func (c *Certificate) use(pair *tls.Certificate) {
	c.current.Store(pair)
	level := slog.LevelInfo
	if time.Now().After(pair.Leaf.NotAfter) {
		level = slog.LevelError
	}
	c.logger.Log(context.Background(), level, "TLS certificate", "file", c.certFile, "names", pair.Leaf.DNSNames, "expires", pair.Leaf.NotAfter)
}

// read also gives what tells one state of the files from another.
func (c *Certificate) read() (seen string, pair *tls.Certificate, err error) {
	cert, err := readPEM(c.certFile)
	if err != nil {
		err = fmt.Errorf("read %s: %w", SettingTLSCertFile, err)
		return err.Error(), nil, err
	}
	key, err := readPEM(c.keyFile)
	if err != nil {
		err = fmt.Errorf("read %s: %w", SettingTLSKeyFile, err)
		return err.Error(), nil, err
	}
	certSum, keySum := sha256.Sum256(cert), sha256.Sum256(key)
	seen = string(certSum[:]) + string(keySum[:])
	p, err := tls.X509KeyPair(cert, key) // its errors quote nothing of the key
	if err != nil {
		return seen, nil, fmt.Errorf("use %s and %s together: %w", SettingTLSCertFile, SettingTLSKeyFile, err)
	}
	return seen, &p, nil
}

func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPEMFile+1))
	if err == nil && len(text) > maxPEMFile {
		err = fmt.Errorf("%s is over %d bytes: that is no certificate or key", path, maxPEMFile)
	}
	return text, err
}

// config is how connections are made. HTTP/1.1 is all that is spoken; ciphers are
// Go's choice, which follows what is known of them.
func (c *Certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
