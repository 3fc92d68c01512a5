package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leadevents/configs"
)

// certificate writes a pair that is made for 127.0.0.1.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	return issued(t, time.Now().Add(365*24*time.Hour))
}

// issued is one that expires then.
func issued(t *testing.T, expires time.Time) (certFile, keyFile string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: expires}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// trusting is a client that knows the server by its certificate.
func trusting(t *testing.T, certFile string) *http.Client {
	t.Helper()
	trust, err := TrustServer(certFile)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
}

func TestReadyOfAServer(t *testing.T) {
	certFile, keyFile := certificate(t)
	for _, encrypted := range []bool{false, true} {
		s := storeSettings(t)
		if encrypted {
			s.HTTP.TLSCertFile, s.HTTP.TLSKeyFile = certFile, keyFile
		}
		if err := Migrate(t.Context(), s, quiet()); err != nil {
			t.Fatal(err)
		}
		base, stop := startServe(t, s, &logOf{})
		prefix := scheme(s.HTTP) + "://"
		if encrypted != strings.HasPrefix(base, "https://") || !strings.HasPrefix(base, prefix) {
			t.Errorf("TLS %v: the URL is %s", encrypted, base)
		}
		s.Listen = strings.TrimPrefix(base, prefix)
		var out bytes.Buffer
		if err := Ready(t.Context(), s, &out); err != nil || !strings.Contains(out.String(), `"status":"ready"`) {
			t.Errorf("TLS %v: ready: %v\n%s", encrypted, err, &out)
		}
		stop()
		if err := Ready(t.Context(), s, &out); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("TLS %v: ready after the stop: %v", encrypted, err)
		}
	}
}

func TestReadyOfAServerWithoutStores(t *testing.T) {
	s := configs.Defaults()
	s.Listen, s.ClickHouse.Addrs, s.Redis.Addr = "127.0.0.1:0", []string{closed}, closed
	if err := Ready(t.Context(), s, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "port 0") {
		t.Errorf("an unknown port: %v", err)
	}
	s.HTTP.TLSCertFile, s.HTTP.TLSKeyFile = certificate(t)
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	s.Listen = strings.TrimPrefix(base, "https://")
	var out bytes.Buffer
	if err := Ready(t.Context(), s, &out); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(out.String(), "not ready: ") {
		t.Errorf("ready: %v\n%s", err, &out)
	}
	s.HTTP.TLSCertFile = ""
	if err := Ready(t.Context(), s, &out); err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("HTTP to HTTPS: %v", err)
	}
}

func TestOnlyTheServersOwnCertificateIsTrusted(t *testing.T) {
	s := configs.Defaults()
	s.Listen, s.ClickHouse.Addrs, s.Redis.Addr = "127.0.0.1:0", []string{closed}, closed
	s.HTTP.TLSCertFile, s.HTTP.TLSKeyFile = certificate(t)
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	if response, err := trusting(t, s.HTTP.TLSCertFile).Get(base + "/livez"); err != nil || response.Body.Close() != nil || response.StatusCode != http.StatusOK {
		t.Errorf("its own: %v", err)
	}
	other, _ := issued(t, time.Now().Add(time.Hour))
	if _, err := trusting(t, other).Get(base + "/livez"); err == nil || !strings.Contains(err.Error(), "another certificate") {
		t.Errorf("another one: %v", err)
	}
	if _, err := TrustServer(s.HTTP.TLSKeyFile); err == nil {
		t.Error("a key was taken for a certificate")
	}
}

func TestServeRefusesABadPair(t *testing.T) {
	s := configs.Defaults()
	s.Listen, s.ClickHouse.Addrs, s.Redis.Addr = "127.0.0.1:0", []string{closed}, closed
	s.HTTP.TLSCertFile, _ = certificate(t)
	s.HTTP.TLSKeyFile = s.HTTP.TLSCertFile
	if err := Serve(t.Context(), s, quiet()); err == nil || !strings.Contains(err.Error(), "http.tls_key_file") {
		t.Errorf("serve: %v", err)
	}
}

func TestDevUnderTLS(t *testing.T) {
	s := configs.Defaults()
	s.Listen = "127.0.0.1:0"
	s.HTTP.TLSCertFile, s.HTTP.TLSKeyFile = certificate(t)
	dir := filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, done := &logOf{}, make(chan error, 1)
	go func() { done <- Dev(ctx, s, DevOptions{DataDir: dir, Out: out, Log: quiet()}) }()
	eventually(t, "dev is ready", func() bool {
		select {
		case err := <-done:
			t.Fatalf("dev ended: %v", err)
		default:
		}
		return strings.Contains(out.String(), "Ctrl-C")
	})
	running, err := RunningDev(dir)
	if err != nil || !strings.HasPrefix(running.URL, "https://127.0.0.1:") || running.TLSCertFile != s.HTTP.TLSCertFile {
		t.Errorf("%+v, %v", running, err)
	}
	if !strings.Contains(out.String(), "--cacert '"+s.HTTP.TLSCertFile+"' "+running.URL) {
		t.Errorf("the greeting is not ready to paste:\n%s", out)
	}
	if response, err := trusting(t, running.TLSCertFile).Get(running.URL + "/readyz"); err != nil || response.Body.Close() != nil || response.StatusCode != http.StatusOK {
		t.Errorf("/readyz: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestCheckLooksAtTheCertificate(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		left  time.Duration
		level Level
		text  string
	}{
		{60 * day, OK, "is good until"},
		{10 * day, Warning, "is good until"},
		{-day, Broken, "has expired"},
	} {
		s := configs.Defaults()
		s.HTTP.TLSCertFile, s.HTTP.TLSKeyFile = issued(t, time.Now().Add(tt.left))
		if f := checkCertificate(s.HTTP); f.Level != tt.level || !strings.Contains(f.Text, tt.text) || (f.Level != OK) != (f.Remedy != "") {
			t.Errorf("%s left: %+v", tt.left, f)
		}
		s.HTTP.TLSKeyFile = s.HTTP.TLSCertFile
		if f := checkCertificate(s.HTTP); f.Level != Broken || f.Remedy == "" {
			t.Errorf("no key: %+v", f)
		}
	}
}
