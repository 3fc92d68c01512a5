package notify

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"leadevents/internal/redisserver"
	"leadevents/internal/storetest"
)

// listener is a process that listens.
type listener struct {
	*Channel
	hints atomic.Int64
	knew  atomic.Int64 // messages heard at the last hint
	end   func()
}

func channel(t *testing.T, cfg Config) *Channel {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func listening(t *testing.T, cfg Config) *listener {
	t.Helper()
	l := &listener{Channel: channel(t, cfg)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- l.Follow(ctx, func() {
			l.knew.Store(int64(testutil.ToFloat64(l.metrics.heard)))
			l.hints.Add(1)
		})
	}()
	l.end = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("follow: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("it does not end")
		}
	})
	t.Cleanup(l.end)
	return l
}

func eventually(t *testing.T, what string, ok func() bool) (took time.Duration) {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(200 * time.Microsecond)
	}
	return time.Since(began)
}

func shared(t *testing.T) Config {
	store := storetest.Redis(t)
	return Config{Addr: store.Addr, Password: store.Password, Channel: store.Prefix + "credentials", Gap: time.Millisecond}
}

// An announcement reaches every process that listens, the announcer too, and nobody
// on another channel. How fast is printed.
func TestAnAnnouncementIsHeardEverywhere(t *testing.T) {
	cfg := shared(t)
	here, there := listening(t, cfg), listening(t, cfg)
	cfg.Channel += "2"
	other := listening(t, cfg)
	for _, l := range []*listener{here, there, other} {
		eventually(t, "the connection is a hint", func() bool { return l.hints.Load() == 1 })
	}
	var longest time.Duration
	for n := int64(2); n < 22; n++ {
		here.Announce(t.Context())
		took := eventually(t, "the other process hears it", func() bool { return there.hints.Load() >= n })
		longest = max(longest, took)
		eventually(t, "so does this one", func() bool { return here.hints.Load() >= n })
	}
	t.Logf("heard after at most %s", longest)
	if n := other.hints.Load(); n != 1 {
		t.Errorf("another channel has %d hints", n)
	}
	if n := testutil.ToFloat64(there.metrics.heard); n != 20 {
		t.Errorf("%v are counted as heard", n)
	}
	if n := testutil.ToFloat64(here.metrics.announced); n != 20 || testutil.ToFloat64(there.metrics.connected) != 1 {
		t.Errorf("%v are counted as announced", n)
	}
}

// However many messages come, a look is asked for once each gap, and once after
// the last of them.
func TestAFloodOfMessagesIsAFewHints(t *testing.T) {
	cfg := shared(t)
	cfg.Gap = 100 * time.Millisecond
	l := listening(t, cfg)
	eventually(t, "connected", func() bool { return l.hints.Load() == 1 })
	began := time.Now()
	pipe := l.redis.Pipeline()
	for range 20_000 {
		pipe.Publish(t.Context(), cfg.Channel, strings.Repeat("x", 100))
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a hint when all were heard", func() bool { return l.knew.Load() == 20_000 })
	most := int64(time.Since(began)/cfg.Gap) + 3
	if n := l.hints.Load(); n < 2 || n > most {
		t.Errorf("%d hints of 20,000 messages, at most %d were expected", n, most)
	}
}

// Redis dies and comes back: nobody is disturbed, the announcement costs a bounded
// time, and what was announced to nobody is made good by the hint of the new
// connection.
func TestRedisDiesAndComesBack(t *testing.T) {
	server := storetest.OwnRedis(t)
	log := &lines{}
	cfg := Config{Password: server.Store().Password, Channel: "credentials", Gap: time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil))}
	cfg.Addr = server.Store().Addr
	here, there := channel(t, cfg), listening(t, cfg)
	eventually(t, "connected", func() bool { return there.hints.Load() == 1 })

	server.Halt()
	eventually(t, "the loss is seen", func() bool { return testutil.ToFloat64(there.metrics.connected) == 0 })
	began := time.Now()
	here.Announce(t.Context())
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("an announcement to nobody took %s", took)
	}
	if n := testutil.ToFloat64(here.metrics.unannounced); n != 1 {
		t.Errorf("%v announcements are counted as failed", n)
	}
	if n := there.hints.Load(); n != 1 {
		t.Errorf("%d hints without a Redis", n)
	}
	server.Start()
	eventually(t, "the new connection is a hint", func() bool { return there.hints.Load() == 2 })
	// go-redis tries a server that refused it again every second.
	eventually(t, "it is heard again", func() bool { here.Announce(t.Context()); return there.hints.Load() >= 3 })
	if text := log.String(); strings.Count(text, "are not announced at the moment") != 1 || strings.Count(text, "announced through Redis again") != 1 {
		t.Errorf("one outage is two lines in the log, not:\n%s", text)
	}
	if strings.Contains(log.String(), cfg.Password) {
		t.Error("the log tells the password")
	}
}

// A Redis that stands still closes nothing: the silence is noticed, an announcement
// is bounded, and the stop too.
func TestRedisStandsStill(t *testing.T) {
	server := storetest.OwnRedis(t)
	cfg := Config{Addr: server.Store().Addr, Password: server.Store().Password, Channel: "credentials", Silence: 100 * time.Millisecond, Gap: time.Millisecond}
	here, there, stops := channel(t, cfg), listening(t, cfg), listening(t, cfg)
	eventually(t, "connected", func() bool { return there.hints.Load() == 1 && stops.hints.Load() == 1 })
	// Idle connections are asked for a sign of life, and stay.
	eventually(t, "both are asked", func() bool {
		return strings.Count(here.redis.ClientList(t.Context()).Val(), "cmd=ping") >= 2
	})
	if there.hints.Load() != 1 || stops.hints.Load() != 1 {
		t.Error("an idle connection was given up")
	}

	server.Pause()
	began := time.Now()
	here.Announce(t.Context())
	if took := time.Since(began); took > time.Second {
		t.Errorf("an announcement to a Redis that stands still took %s", took)
	}
	eventually(t, "the silence is noticed", func() bool { return testutil.ToFloat64(there.metrics.connected) == 0 })
	began = time.Now()
	stops.end()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %s", took)
	}
	server.Resume()
	eventually(t, "the new connection is a hint", func() bool { return there.hints.Load() >= 2 })
}

// A user of Redis without the right to the channel is told so by Examine.
func TestExamineSaysWhyNothingIsHeard(t *testing.T) {
	server := storetest.OwnRedis(t, func(*redisserver.Config) {})
	store := server.Store()
	admin := channel(t, Config{Addr: store.Addr, Password: store.Password, Channel: "credentials"})
	if err := admin.Examine(t.Context()); err != nil {
		t.Errorf("the administrator: %v", err)
	}
	if err := admin.redis.Do(t.Context(), "ACL", "SETUSER", "narrow", "on", ">pass", "~*", "resetchannels", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	narrow := Config{Addr: store.Addr, Username: "narrow", Password: "pass", Channel: "credentials"}
	if err := channel(t, narrow).Examine(t.Context()); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("without the right to the channel: %v", err)
	}
	server.Halt()
	if err := admin.Examine(t.Context()); err == nil {
		t.Error("no Redis, and all is well")
	}
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
