package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	root := newRoot()
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	root.SetArgs([]string{"events", "--url", "http://127.0.0.1:1", "--key", "k"})
	err := root.ExecuteContext(t.Context())
	if exitCode(err) != exitFailed || !strings.Contains(err.Error(), "no server can be reached at http://127.0.0.1:1: does it run, and is that its address (--url, LEADEVENTS_URL or --data-dir)?") {
		t.Errorf("%v", err)
	}
}

// A server with a certificate of its own: the client must be told to trust it, by
// its authority, or by the dev that runs on a folder.
func TestClientUnderTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"Key":%q}`, r.Header.Get("Authorization"))
	}))
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	caFile := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	dev := fmt.Sprintf(`{"url":%q,"apiKey":"devs","tlsCertFile":%q,"pid":%d}`, server.URL, caFile, os.Getpid())
	if err := os.WriteFile(filepath.Join(dir, "dev.json"), []byte(dev), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		flags serverFlags
		env   string
		key   string // "" for an error
	}{
		{"the system's authorities do not know it", serverFlags{url: server.URL, key: "mine"}, "", ""},
		{"--ca-file", serverFlags{url: server.URL, key: "mine", caFile: caFile}, "", "mine"},
		{"its variable", serverFlags{url: server.URL, key: "mine"}, caFile, "mine"},
		{"--data-dir", serverFlags{dataDir: dir}, "", "devs"},
		{"--data-dir trusts nobody at another URL", serverFlags{url: server.URL, dataDir: dir}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(caEnv, tt.env)
			c, err := tt.flags.open(newMaterialize())
			if err != nil {
				t.Fatal(err)
			}
			defer c.http.CloseIdleConnections()
			var answer struct{ Key string }
			err = c.call(t.Context(), http.MethodGet, "/", nil, &answer)
			switch {
			case tt.key == "" && (err == nil || !strings.Contains(err.Error(), "certificate")):
				t.Errorf("it was trusted: %v", err)
			case tt.key != "" && (err != nil || answer.Key != "Bearer "+tt.key):
				t.Errorf("got %+v, %v", answer, err)
			}
		})
	}
	if _, err := (&serverFlags{url: server.URL, key: "k", caFile: filepath.Join(dir, "dev.json")}).open(newMaterialize()); err == nil {
		t.Error("a file without certificates was accepted")
	}
}
