package auth_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/storetest/credentials"
)

// clock is the time, which tests move.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// logBuffer collects what is logged.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// process is one server process' directory.
type process struct {
	*auth.Directory
	store auth.Store
	clock *clock
	log   *logBuffer
}

func masterKeys(t testing.TB, texts ...string) auth.Keyring {
	t.Helper()
	if len(texts) == 0 {
		texts = []string{strings.Repeat("0f", 32)}
	}
	var keys []auth.MasterKey
	for _, text := range texts {
		m, err := auth.ParseMasterKey(auth.NewSecret(text))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, m)
	}
	return auth.NewKeyring(keys[0], keys[1:]...)
}

// newProcess makes a directory that does not follow its store yet.
func newProcess(t testing.TB, store auth.Store, cfg auth.Config) *process {
	t.Helper()
	p := &process{store: store, clock: &clock{}, log: &logBuffer{}}
	d, err := auth.New(cfg, store, p.clock.now, slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Directory = d
	return p
}

// run follows the store until the test ends, or stop is called.
func (p *process) run(t testing.TB) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func started(t testing.TB, cfg auth.Config) *process {
	t.Helper()
	p := newProcess(t, credentials.NewMemory(), cfg)
	p.run(t)
	return p
}

func (p *process) organization(t testing.TB, id leadevents.OrgID) auth.NewOrganization {
	t.Helper()
	o, err := p.CreateOrganization(t.Context(), "org "+id.String(), id)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (p *process) key(t testing.TB, org leadevents.OrgID, r auth.KeyRequest) auth.NewAPIKey {
	t.Helper()
	if r.Name == "" {
		r.Name = "a key"
	}
	k, err := p.CreateKey(t.Context(), org, r)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (p *process) signingKey(t testing.TB, org leadevents.OrgID) auth.NewSigningKey {
	t.Helper()
	k, err := p.CreateSigningKey(t.Context(), org, "a signing key")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (p *process) mode(t testing.TB, org leadevents.OrgID, mode auth.Mode) {
	t.Helper()
	if _, err := p.SetAuthMode(t.Context(), org, mode); err != nil {
		t.Fatal(err)
	}
}

// accepts tells whether a key is let in.
func (p *process) accepts(t testing.TB, key auth.Secret) bool {
	t.Helper()
	_, err := p.Key(t.Context(), header(key), auth.Query)
	return err == nil
}

func header(key auth.Secret) string { return "Bearer " + key.Reveal() }

// outcome is a status and its code in one word, "ok" without an error.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return leadevents.KindOf(err).Code()
}

// message is what the client reads.
func message(err error) string {
	if e, ok := errors.AsType[*leadevents.Error](err); ok {
		return e.Message
	}
	return ""
}
