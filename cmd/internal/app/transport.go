package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"leadevents/configs"
	"leadevents/internal/httpserver"
)

// stopCertificate: its watch ends at once.
const stopCertificate = time.Second

// openCertificate is what the server shows under TLS, watched for changes by g; nil
// if HTTP is served in the clear.
func openCertificate(g *group, s configs.HTTP, log *slog.Logger) (*httpserver.Certificate, error) {
	if s.TLSCertFile == "" {
		return nil, nil
	}
	c, err := httpserver.OpenCertificate(s.TLSCertFile, s.TLSKeyFile, log)
	if err != nil {
		return nil, err
	}
	g.run("certificate", stopCertificate, func(ctx context.Context) error { return c.Watch(ctx, s.TLSReloadInterval) })
	return c, nil
}

// trustedProxies are those of the settings, which have been checked.
func trustedProxies(s configs.HTTP) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range s.TrustedProxies {
		p, err := configs.ParseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", httpserver.SettingTrustedProxies, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// expirySoon: certificates are usually renewed 30 days before their end, so one with
// less than half of that left shows that the renewal does not work.
const expirySoon = 14 * 24 * time.Hour

// checkCertificate looks at the pair as a server would at its start.
func checkCertificate(s configs.HTTP) Finding {
	const subject = "settings"
	c, err := httpserver.OpenCertificate(s.TLSCertFile, s.TLSKeyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		return Finding{Broken, subject, fmt.Sprintf("the TLS certificate cannot be used: %v", err),
			"give http.tls_cert_file a chain of certificates in PEM, the server's first, and http.tls_key_file its key"}
	}
	end := c.NotAfter()
	text := fmt.Sprintf("the TLS certificate is good until %s", end.UTC().Format(time.DateOnly))
	switch left := time.Until(end); {
	case left <= 0:
		return Finding{Broken, subject, fmt.Sprintf("the TLS certificate has expired on %s", end.UTC().Format(time.DateOnly)),
			"put a new one into its files: a running server picks it up"}
	case left < expirySoon:
		return Finding{Warning, subject, text, "put a new one into its files: a running server picks it up"}
	}
	return Finding{OK, subject, text, ""}
}

// scheme is what the URL of a server with these settings begins with.
func scheme(s configs.HTTP) string {
	if s.TLSCertFile != "" {
		return "https"
	}
	return "http"
}

// TrustAuthorities is how a client checks servers: by the system's authorities, or
// by those in a file.
func TrustAuthorities(caFile string) (*tls.Config, error) { return tlsConfig(true, caFile) }

// TrustServer is how a client on the server's own machine checks it: the server must
// show, and have the key of, the very certificate in the file. The names in it and
// who signed it do not count, since it is made for what others call this machine.
func TrustServer(certFile string) (*tls.Config, error) {
	text, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("read the server's certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no certificate in PEM", certFile)
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("read the certificate in %s: %w", certFile, err)
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection asks for more
		VerifyConnection: func(state tls.ConnectionState) error {
			if !bytes.Equal(state.PeerCertificates[0].Raw, block.Bytes) {
				return fmt.Errorf("the server shows another certificate than the one in %s", certFile)
			}
			return nil
		},
	}, nil
}

// Ready asks the server with these settings on this machine whether it is ready, and
// writes its answer.
func Ready(ctx context.Context, s configs.Settings, out io.Writer) (err error) {
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return fmt.Errorf("read listen: %w", err)
	}
	if port == "0" {
		return errors.New("listen has port 0: which one the server has got is not known")
	}
	if ip, err := netip.ParseAddr(host); host == "" || (err == nil && ip.IsUnspecified()) {
		host = "localhost" // all addresses: IPv4 or IPv6, whatever answers
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if s.HTTP.TLSCertFile != "" {
		if transport.TLSClientConfig, err = TrustServer(s.HTTP.TLSCertFile); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.HTTP.ReadinessTimeout+time.Second)
	defer cancel()
	url := scheme(s.HTTP) + "://" + net.JoinHostPort(host, port) + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("ask whether the server is ready: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if _, err := fmt.Fprintf(out, "%s\n", bytes.TrimSpace(text)); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server is not ready: it answered %s", response.Status)
	}
	return nil
}
