package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents/auth"
	"leadevents/configs"
	"leadevents/internal/child"
	"leadevents/internal/httpserver"
	"leadevents/internal/storetest"
)

// logOf collects log lines and waits for them.
type logOf struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logOf) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logOf) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// tail is at most the last n bytes.
func (l *logOf) tail(n int) string {
	all := l.String()
	return all[max(0, len(all)-n):]
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	// Asking takes work from what is waited for: it is asked less often what takes long,
	// and known at most a tenth later.
	for began := time.Now(); !ok(); time.Sleep(min(max(time.Since(began)/10, 5*time.Millisecond), 100*time.Millisecond)) {
		if time.Since(began) > 3*time.Minute {
			t.Fatalf("%s: not within three minutes", what)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = storetest.Output("the answers to GET of " + t.Name()).Write(text) // metrics, readiness
	return response.StatusCode, string(text)
}

// send posts one event and returns status and answer.
func send(t *testing.T, base, key string, org int) (int, string) {
	t.Helper()
	body := fmt.Sprintf(`{"organizationId":%d,"eventType":"signup","events":[{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z"}]}`, org)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/v1/webhooks/lead-events", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestServeAnswersAndStops(t *testing.T) {
	s := storeSettings(t)
	if err := Migrate(t.Context(), s, quiet()); err != nil {
		t.Fatal(err)
	}
	credentials, err := OpenCredentials(s, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = credentials.Close() }()
	org, err := credentials.CreateOrganization(t.Context(), "test", 7)
	if err != nil {
		t.Fatal(err)
	}
	log := &logOf{}
	base, stop := startServe(t, s, log)

	if status, text := get(t, base+"/readyz"); status != http.StatusOK || !strings.Contains(text, `"state"`) {
		t.Errorf("/readyz: %d %s", status, text)
	}
	if status, text := send(t, base, org.FirstKey.Key.Reveal(), 7); status != http.StatusOK || !strings.Contains(text, `"inserted":1`) {
		t.Errorf("first: %d %s", status, text)
	}
	if status, text := send(t, base, org.FirstKey.Key.Reveal(), 7); status != http.StatusOK || !strings.Contains(text, `"duplicates":1`) {
		t.Errorf("again: %d %s", status, text)
	}
	if status, text := get(t, base+"/metrics"); status != http.StatusOK || !strings.Contains(text, "go_goroutines") || !strings.Contains(text, "leadevents_ledger_state") {
		t.Errorf("/metrics: %d, %d bytes", status, len(text))
	}
	stop()
	if keys, err := credentials.Keys(t.Context(), 7); err != nil || keys[0].LastUsedAt.IsZero() {
		t.Errorf("the stop did not write the last use of the key: %+v, %v", keys, err)
	}
	if text := log.String(); strings.Contains(text, "15551234567") || strings.Contains(text, org.FirstKey.Key.Reveal()) {
		t.Errorf("the log tells a phone or a key:\n%s", text)
	}
	// All is given back: the same address can be served again.
	_, stop = startServe(t, s, &logOf{})
	stop()
}

// startServe serves until stop, which fails the test if the stop is not in order.
func startServe(t *testing.T, s configs.Settings, log *logOf) (base string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	secretsOf(s)
	written := io.MultiWriter(log, storetest.Output("the log of the server of "+t.Name()))
	go func() { done <- Serve(ctx, s, slog.New(slog.NewJSONHandler(written, nil))) }()
	eventually(t, "ready", func() bool {
		select {
		case err := <-done:
			t.Fatalf("serve ended: %v", err)
		default:
		}
		for line := range strings.Lines(log.String()) {
			var entry struct{ Msg, URL string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "ready" {
				base = entry.URL
			}
		}
		return base != ""
	})
	return base, sync.OnceFunc(func() { // a test may stop it early, and leave it to its end
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("stop: %v", err)
		}
	})
}

func TestAServerWithoutStoresStartsAndSaysSo(t *testing.T) {
	s := configs.Defaults()
	s.Listen, s.ClickHouse.Addrs, s.Redis.Addr = "127.0.0.1:0", []string{closed}, closed
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	if status, _ := get(t, base+"/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d", status)
	}
	status, text := get(t, base+"/readyz")
	if status != http.StatusServiceUnavailable || strings.Count(text, "connection refused") != 2 {
		t.Errorf("/readyz: %d %s", status, text)
	}
	if status, text := send(t, base, "le_x", 1); status != http.StatusServiceUnavailable && status != http.StatusUnauthorized {
		t.Errorf("an event: %d %s", status, text)
	}
}

func TestATakenPortIsAnErrorThatStopsEverything(t *testing.T) {
	s := storeSettings(t)
	if err := Migrate(t.Context(), s, quiet()); err != nil {
		t.Fatal(err)
	}
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	s.Listen = strings.TrimPrefix(base, "http://")
	if err := Serve(t.Context(), s, quiet()); err == nil || !strings.Contains(err.Error(), "another program has this port") {
		t.Errorf("serve: %v", err)
	}
}

// startDev runs dev on dir until stop, and reads its dev.json.
func startDev(t *testing.T, dir string) (devFile, string, func() error) {
	t.Helper()
	greeting, stop := startDevWith(t, configs.Defaults(), dir, quiet())
	return readDevFile(t, dir), greeting, stop
}

func startDevWith(t *testing.T, s configs.Settings, dir string, log *slog.Logger) (greeting string, stop func() error) {
	t.Helper()
	s.Listen = "127.0.0.1:0"
	ctx, cancel := context.WithCancel(t.Context())
	out, done := &logOf{}, make(chan error, 1)
	go func() { done <- Dev(ctx, s, DevOptions{DataDir: dir, Out: out, Log: log}) }()
	eventually(t, "dev is ready", func() bool {
		select {
		case err := <-done:
			t.Fatalf("dev ended: %v", err)
		default:
		}
		return strings.Contains(out.String(), "Ctrl-C")
	})
	return out.String(), func() error { cancel(); return <-done }
}

func readDevFile(t *testing.T, dir string) (f devFile) {
	t.Helper()
	path := filepath.Join(dir, devFileName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("dev.json: mode %v, %v", info.Mode(), err)
	}
	return f
}

func TestDev(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, greeting, stop := startDev(t, dir)
	if !strings.Contains(greeting, first.URL+"/api/v1/webhooks/lead-events") || !strings.Contains(greeting, "Bearer "+first.APIKey) {
		t.Errorf("the greeting is not ready to paste:\n%s", greeting)
	}
	if status, text := send(t, first.URL, first.APIKey, 1); status != http.StatusOK || !strings.Contains(text, `"inserted":1`) {
		t.Errorf("first event: %d %s", status, text)
	}
	if err := Dev(t.Context(), configs.Defaults(), DevOptions{DataDir: dir, Out: io.Discard, Log: quiet()}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Errorf("a second dev on the folder: %v", err)
	}
	t.Run("administration finds its stores", func(t *testing.T) {
		keys, err := DevSettings(dir)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := configs.Load(configs.Options{Flags: keys, OtherEnv: OtherEnv()})
		if err != nil {
			t.Fatal(err)
		}
		if broken := brokenOf(Check(t.Context(), loaded.Settings)); len(broken) > 0 {
			t.Errorf("check: %+v", broken)
		}
	})
	t.Run("dev.json follows a child that died", func(t *testing.T) {
		kill(t, first.Redis.PID)
		eventually(t, "another pid in dev.json", func() bool { return readDevFile(t, dir).Redis.PID != first.Redis.PID })
		eventually(t, "an answer again", func() bool {
			status, _ := send(t, first.URL, first.APIKey, 1)
			return status == http.StatusOK
		})
	})
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, devFileName)); !os.IsNotExist(err) {
		t.Errorf("dev.json is still there after the stop: %v", err)
	}
	if _, err := DevSettings(dir); err == nil || !strings.Contains(err.Error(), "no `leadevents dev` is ready") {
		t.Errorf("DevSettings after the stop: %v", err)
	}

	second, _, stop := startDev(t, dir)
	if second.APIKey != first.APIKey || second.OperatorToken != first.OperatorToken || second.ClickHouse.Password != first.ClickHouse.Password {
		t.Error("the second start has other credentials")
	}
	if status, text := send(t, second.URL, second.APIKey, 1); status != http.StatusOK || !strings.Contains(text, `"duplicates":1`) {
		t.Errorf("the event of the first start: %d %s", status, text)
	}
	if err := stop(); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

func TestDevMakesAnotherKeyWhenItsOwnIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, _, stop := startDev(t, dir)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, apiKeyFile)); err != nil {
		t.Fatal(err)
	}
	second, _, stop := startDev(t, dir)
	defer func() { _ = stop() }()
	if second.APIKey == first.APIKey {
		t.Error("the key has come back")
	}
	if status, text := send(t, second.URL, second.APIKey, 1); status != http.StatusOK {
		t.Errorf("the new key: %d %s", status, text)
	}
}

func TestDevWithAnUnusableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Dev(t.Context(), configs.Defaults(), DevOptions{DataDir: file, Out: io.Discard, Log: quiet()}); err == nil || !strings.Contains(err.Error(), "data folder") {
		t.Errorf("dev on a file: %v", err)
	}
	folder, err := child.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	if err := folder.WriteFile(devFileName, []byte(`{"pid":-1}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := DevSettings(folder.Path()); err == nil || !strings.Contains(err.Error(), "does not run any more") {
		t.Errorf("the file of a dev that was killed: %v", err)
	}
}

func TestKeyring(t *testing.T) {
	s := configs.Defaults()
	if _, err := keyring(s); err != nil {
		t.Errorf("no master key: %v", err)
	}
	s.MasterKey, s.OldMasterKey = auth.NewMasterKey(), auth.NewMasterKey()
	if _, err := keyring(s); err != nil {
		t.Errorf("two master keys: %v", err)
	}
	s.NextMasterKey = auth.NewMasterKey()
	ring, err := keyring(s)
	if err != nil {
		t.Errorf("three master keys: %v", err)
	}
	for _, text := range []auth.Secret{s.MasterKey, s.OldMasterKey, s.NextMasterKey} {
		if key, err := auth.ParseMasterKey(text); err != nil || !ring.Has(key) {
			t.Errorf("one of three does not decrypt: %v", err)
		}
	}
	s.MasterKey = auth.NewSecret("short")
	if _, err := keyring(s); err == nil || !strings.Contains(err.Error(), "master_key") {
		t.Errorf("a short master key: %v", err)
	}
}

// A refusal names the setting to raise; it must be one that exists.
func TestRefusalsNameSettingsThatExist(t *testing.T) {
	for _, name := range []string{
		httpserver.SettingMaxHeaderBytes, httpserver.SettingMaxConnections, httpserver.SettingMaxRequests,
		httpserver.SettingTLSCertFile, httpserver.SettingTLSKeyFile, httpserver.SettingTrustedProxies,
		httpserver.SettingMaxBodyMemory, httpserver.SettingHeaderTimeout, httpserver.SettingBodyTimeout, httpserver.SettingBodyIdleTimeout,
		"ingest.queue", "ingest.bulk_queue", "audiences.max_uploads",
	} {
		if !slices.Contains(configs.Keys(), name) {
			t.Errorf("%s is no setting", name)
		}
	}
}

// Whatever the settings allow, the parts accept: nothing fails late.
func TestPartsAcceptTheDefaults(t *testing.T) {
	s := configs.Defaults()
	if _, err := newHTTP(s, nil, quiet(), prometheus.NewRegistry()); err != nil {
		t.Error(err)
	}
	cfg, err := ledgerConfig(s, dialers{}, quiet(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Prefix != "le:" || cfg.Horizon != s.Ledger.Horizon || cfg.ShortHorizon != s.Ledger.ShortHorizon {
		t.Errorf("the ledger gets %+v", cfg)
	}
}
