package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/redis/go-redis/v9"

	"leadevents/internal/storetest"
)

// The horizons of a run: short, so that keys leave them while it lasts.
const (
	deadline     = 2 * time.Second
	shortHorizon = 10 * deadline
	horizon      = 60 * time.Second
	// patient is longer than any timeout of the settings below.
	patient = 2500 * time.Millisecond
)

// organizations send events, each with its own key.
var organizations = []int{7, 42}

// world is everything that a run torments.
type world struct {
	t          testing.TB
	clickHouse *storetest.ClickHouseServer
	redis      *storetest.RedisServer
	servers    []*server
	keys       map[int]string // API key of an organization
	backup     string         // of Redis
}

// newWorld starts the stores and so many servers. naive makes them those of the
// naive ledger.
func newWorld(t testing.TB, servers int, naive bool) *world {
	t.Helper()
	w := &world{t: t, keys: map[int]string{}}
	w.clickHouse = storetest.OwnClickHouse(t)
	w.redis = storetest.OwnRedis(t)

	direct := w.environment(w.clickHouse.Store().Native, w.redis.Store().Addr)
	w.run(direct, "migrate")
	for _, org := range organizations {
		w.keys[org] = w.run(direct, "org", "create", fmt.Sprintf("organization %d", org), "--id", strconv.Itoa(org))
	}
	for n := range servers {
		s := newServer(t, fmt.Sprintf("server-%d", n), func() string { return w.clickHouse.Store().Native }, func() string { return w.redis.Store().Addr },
			func(s *server) *exec.Cmd {
				if naive {
					return w.naive(s)
				}
				cmd := exec.Command(filepath.Join(storetest.Programs(t), "leadevents"), "serve", "--listen", s.addr)
				cmd.Env = w.environment(s.clickHouse.Addr(), s.redis.Addr())
				return cmd
			})
		s.start()
		w.servers = append(w.servers, s)
	}
	w.awaitReady()
	return w
}

// environment is the settings of a process, with everything that waits cut short.
func (w *world) environment(clickHouse, redis string) []string {
	database := w.clickHouse.Store()
	settings := map[string]string{
		"clickhouse.addrs": clickHouse, "clickhouse.database": database.Database,
		"clickhouse.user": database.User, "clickhouse.password": database.Password,
		"redis.addr": redis, "redis.password": w.redis.Store().Password,
		"ledger.horizon": horizon.String(), "ledger.short_horizon": shortHorizon.String(), "ledger.deadline": deadline.String(),
		"ledger.margin": "500ms", "ledger.heartbeat": "200ms",
		"clickhouse.insert_timeout": "900ms", "clickhouse.dial_timeout": "1s", "clickhouse.query_timeout": "2s",
		"redis.timeout": "900ms", "redis.dial_timeout": "1s",
		"ingest.peek_timeout": "2s", "http.shutdown_timeout": "10s",
		"log.requests": "false",
	}
	if *seed%2 == 0 {
		// Half of the seeds have a ledger that is in part set again for seconds.
		settings["ledger.rebuild_rate"] = "20000"
	}
	var environment []string
	for name, value := range settings {
		environment = append(environment, "LEADEVENTS_"+strings.ToUpper(strings.ReplaceAll(name, ".", "_"))+"="+value)
	}
	return environment
}

// run runs a command of the binary to its end.
func (w *world) run(environment []string, arguments ...string) string {
	w.t.Helper()
	cmd := exec.Command(filepath.Join(storetest.Programs(w.t), "leadevents"), arguments...)
	cmd.Env = environment
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("leadevents %s: %v\n%s", strings.Join(arguments, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for until := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			for _, s := range w.servers {
				w.t.Logf("the log of %s ends with:\n%s", s.addr, tail(s.log.Name()))
			}
			w.t.Fatalf("not within two minutes: %s", what)
		}
	}
}

func (w *world) awaitReady() {
	w.t.Helper()
	for _, s := range w.servers {
		w.eventually("the server at "+s.addr+" is ready", s.ready)
	}
}

// heal ends all disturbances and waits until everything works again.
func (w *world) heal() {
	w.t.Helper()
	w.clickHouse.Await(0)
	w.redis.Await(0)
	for _, s := range w.servers {
		s.heal()
	}
	w.awaitReady()
}

// inject does what a fault says and returns when it is over; nothing is waited
// for beyond that, so one may hit what another has not recovered from.
func (w *world) inject(f Fault) {
	w.t.Helper()
	s := w.servers[f.Server]
	proxy := s.clickHouse
	if f.Redis {
		proxy = s.redis
	}
	disturb := func(mode Disturbance) {
		proxy.Disturb(mode, f.Delay)
		time.Sleep(f.For)
		proxy.Disturb(Clean, 0)
	}
	switch f.Kind {
	case KillServer:
		s.end(syscall.SIGKILL)
		s.start()
	case StopServer:
		s.end(syscall.SIGTERM)
		s.start()
	case KillClickHouse:
		w.clickHouse.Await(0)
		w.clickHouse.Kill()
	case KillRedis:
		w.redis.Await(0)
		w.redis.Kill()
	case KillAll:
		w.clickHouse.Await(0)
		w.redis.Await(0)
		for _, s := range w.servers {
			s.end(syscall.SIGKILL)
		}
		w.clickHouse.Kill()
		w.redis.Kill()
		for _, s := range w.servers {
			s.start()
		}
	case FreezeServer:
		s.signal(syscall.SIGSTOP)
		time.Sleep(f.For)
		s.signal(syscall.SIGCONT)
	case FreezeStore:
		pause, resume, await := w.clickHouse.Pause, w.clickHouse.Resume, w.clickHouse.Await
		if f.Redis {
			pause, resume, await = w.redis.Pause, w.redis.Resume, w.redis.Await
		}
		await(0)
		pause()
		time.Sleep(f.For)
		resume()
	case CutReply:
		disturb(CutReplies)
	case CutRequest:
		disturb(CutRequests)
	case CutOff:
		disturb(Refuse)
	case SlowDown:
		disturb(Delay)
	case StallStore:
		disturb(Stall)
	case FlushRedis:
		w.redis.Await(0)
		w.flush()
	case LoseTail:
		w.redis.Await(0)
		w.redis.Halt()
		w.redis.CutLog(f.Bytes)
		w.redis.Start()
	case ReplaceRedis:
		w.redis.Await(0)
		w.redis.Replace()
	case RestoreRedis:
		w.redis.Await(0)
		w.redis.Halt()
		if w.backup == "" {
			w.backup = w.redis.Save()
		} else {
			w.redis.Restore(w.backup)
			w.forgetBackup() // the next one is of now
		}
		w.redis.Start()
	default:
		w.t.Fatalf("nobody knows how to %q", f.Kind)
	}
}

func (w *world) forgetBackup() {
	if err := os.RemoveAll(w.backup); err != nil {
		w.t.Fatal(err)
	}
	w.backup = ""
}

// flush empties Redis, if it answers: it may be on its way up.
func (w *world) flush() {
	store := w.redis.Store()
	client := redis.NewClient(&redis.Options{Addr: store.Addr, Password: store.Password, MaxRetries: 20})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := client.FlushAll(ctx).Err(); err != nil {
		w.t.Errorf("FLUSHALL: %v", err)
	}
}

// connect opens ClickHouse without a proxy.
func (w *world) connect() driver.Conn {
	w.t.Helper()
	store := w.clickHouse.Store()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{store.Native}, ReadTimeout: 5 * time.Minute,
		Auth: clickhouse.Auth{Database: store.Database, Username: store.User, Password: store.Password},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}
