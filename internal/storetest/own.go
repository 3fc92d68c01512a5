package storetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"leadevents/clickhouse/embedded"
	"leadevents/internal/redisserver"
)

// OwnDatabase is the database that [OwnClickHouse] makes.
const OwnDatabase = "leadevents"

// ClickHouseServer is an engine of one test's own.
type ClickHouseServer struct {
	own
	server atomic.Pointer[embedded.Server] // of the moment: a Start makes another, while proxies ask where it is
	config embedded.Config
}

// RedisServer is a redis-server of one test's own.
type RedisServer struct {
	own
	server atomic.Pointer[redisserver.Server] // of the moment: a Start makes another, while proxies ask where it is
	config redisserver.Config
}

// own is what both have: a folder, a test and a process to torment.
type own struct {
	t       testing.TB
	dir     string
	pid     func() int
	stopped bool
}

func newOwn(t testing.TB, kind string) own {
	t.Helper()
	shared.mu.Lock()
	dir, err := shared.folder(kind + "_" + shared.name(t))
	shared.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	return own{t: t, dir: dir}
}

// Kill ends the process as a crash would (SIGKILL) and returns at once; it is
// started again by itself, see Await.
func (o *own) Kill() { o.signal(syscall.SIGKILL) }

// Pause stops the process without ending it: connections stay open, nothing is
// answered, until Resume.
func (o *own) Pause() { o.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (o *own) Resume() { o.signal(syscall.SIGCONT) }

func (o *own) signal(s syscall.Signal) {
	o.t.Helper()
	pid := o.pid()
	if pid == 0 { // it died a moment ago, and is on its way back
		pid = o.Await(0)
	}
	err := syscall.Kill(pid, s)
	if errors.Is(err, syscall.ESRCH) { // it died a moment ago, and nobody has noticed yet
		err = syscall.Kill(o.Await(pid), s)
	}
	if err != nil {
		o.t.Fatalf("signal %v to the server: %v", s, err)
	}
}

// Await waits until the server is up with another pid than the given one, and
// returns the new one.
func (o *own) Await(previous int) int {
	o.t.Helper()
	deadline := time.Now().Add(startLimit)
	for time.Now().Before(deadline) {
		if pid := o.pid(); pid != 0 && pid != previous {
			return pid
		}
		time.Sleep(5 * time.Millisecond)
	}
	o.t.Fatalf("the server is not up again after %v", startLimit)
	return 0
}

// settle is the end of the test: stop, then remove the files or say where they
// are.
func (o *own) settle(stop func(context.Context) error) {
	if !o.stopped {
		if pid := o.pid(); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGCONT) // a paused one could not stop
		}
		o.halt(stop)
	}
	if o.t.Failed() {
		shared.kept.Store(true)
		o.t.Logf("the server's files are kept in %s", o.dir)
		return
	}
	if err := os.RemoveAll(o.dir); err != nil {
		o.t.Errorf("remove the server's files: %v", err)
	}
}

func (o *own) halt(stop func(context.Context) error) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	if err := stop(ctx); err != nil {
		o.t.Errorf("stop the server: %v", err)
	}
	o.stopped = true
}

// OwnClickHouse starts an engine for this test alone, with the database
// [OwnDatabase]. configure may change the settings first.
func OwnClickHouse(t testing.TB, configure ...func(*embedded.Config)) *ClickHouseServer {
	t.Helper()
	s := &ClickHouseServer{own: newOwn(t, "clickhouse")}
	s.config = engineConfig(s.dir)
	s.config.Databases = []string{OwnDatabase}
	for _, change := range configure {
		change(&s.config)
	}
	s.pid = func() int { return s.Endpoint().PID }
	s.Start()
	t.Cleanup(func() { s.settle(s.stop) })
	return s
}

// Store is how to connect now.
func (s *ClickHouseServer) Store() ClickHouseStore {
	return clickHouseStore(s.server.Load(), OwnDatabase)
}

// Endpoint is where the engine is now.
func (s *ClickHouseServer) Endpoint() embedded.Endpoint { return s.server.Load().Endpoint() }

// Exec runs a statement over HTTP, as the engine's administrator.
func (s *ClickHouseServer) Exec(ctx context.Context, statement string) (string, error) {
	return s.server.Load().Exec(ctx, statement)
}

func (s *ClickHouseServer) stop(ctx context.Context) error { return s.server.Load().Stop(ctx) }

// Halt stops the engine in order; Start starts it again on the same files.
func (s *ClickHouseServer) Halt() { s.t.Helper(); s.halt(s.stop) }

// Start starts the engine after a Halt.
func (s *ClickHouseServer) Start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	server, err := embedded.Start(ctx, s.config)
	if err != nil {
		s.t.Fatalf("no ClickHouse for this test: %v", err)
	}
	s.server.Store(server)
	s.stopped = false
}

// Replace puts an empty engine in its place: ports, user and password stay.
func (s *ClickHouseServer) Replace() {
	s.t.Helper()
	s.Halt()
	s.empty()
	s.Start()
}

// Save copies the data of a halted server; Restore puts a copy back in its
// place, as an operator does with a backup.
func (o *own) Save() (saved string) {
	o.t.Helper()
	if !o.stopped {
		o.t.Fatal("a running server's files cannot be copied: Halt it first")
	}
	saved, err := os.MkdirTemp(o.dir, "saved-")
	if err != nil {
		o.t.Fatal(err)
	}
	if err := os.CopyFS(saved, os.DirFS(o.data())); err != nil {
		o.t.Fatalf("save the server's data: %v", err)
	}
	return saved
}

// Restore replaces the data of a halted server by what Save saved.
func (o *own) Restore(saved string) {
	o.t.Helper()
	if !o.stopped {
		o.t.Fatal("a running server's files cannot be replaced: Halt it first")
	}
	o.empty()
	if err := os.CopyFS(o.data(), os.DirFS(saved)); err != nil {
		o.t.Fatalf("restore the server's data: %v", err)
	}
}

// CutLog takes the last bytes off a halted Redis' append-only file, as the loss
// of power does; it returns how many were there.
func (s *RedisServer) CutLog(bytes int64) int64 {
	s.t.Helper()
	parts, err := filepath.Glob(filepath.Join(s.data(), "appendonlydir", "*.incr.aof"))
	if err != nil || len(parts) != 1 || !s.stopped {
		s.t.Fatalf("%d append-only files (%v), stopped: %v; one of a halted server can be cut", len(parts), err, s.stopped)
	}
	info, err := os.Stat(parts[0])
	if err == nil {
		err = os.Truncate(parts[0], max(info.Size()-bytes, 0))
	}
	if err != nil {
		s.t.Fatalf("cut the append-only file: %v", err)
	}
	return info.Size()
}

func (o *own) data() string { return filepath.Join(o.dir, "data") }

// empty removes the data and leaves password and ports.
func (o *own) empty() {
	o.t.Helper()
	if err := os.RemoveAll(o.data()); err != nil {
		o.t.Fatalf("remove the server's data: %v", err)
	}
}

// OwnRedis starts a redis-server for this test alone. configure may change the
// settings first.
func OwnRedis(t testing.TB, configure ...func(*redisserver.Config)) *RedisServer {
	t.Helper()
	s := &RedisServer{own: newOwn(t, "redis")}
	s.config = redisConfig(s.dir)
	for _, change := range configure {
		change(&s.config)
	}
	s.pid = func() int { return s.Endpoint().PID }
	s.Start()
	t.Cleanup(func() { s.settle(s.stop) })
	return s
}

// Store is how to connect now; the prefix is empty, all of it is the test's.
func (s *RedisServer) Store() RedisStore {
	e := s.Endpoint()
	Secret("Redis' password", e.Password)
	return RedisStore{Addr: e.Addr, Password: e.Password}
}

// Endpoint is where the server is now.
func (s *RedisServer) Endpoint() redisserver.Endpoint { return s.server.Load().Endpoint() }

func (s *RedisServer) stop(ctx context.Context) error { return s.server.Load().Stop(ctx) }

// Halt stops the server in order; Start starts it again on the same files.
func (s *RedisServer) Halt() { s.t.Helper(); s.halt(s.stop) }

// Start starts the server after a Halt.
func (s *RedisServer) Start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	server, err := redisserver.Start(ctx, s.config)
	if err != nil {
		s.t.Fatalf("no Redis for this test: %v", err)
	}
	s.server.Store(server)
	s.stopped = false
}

// Replace puts an empty server in its place: port and password stay. It is what
// the loss of all of Redis looks like.
func (s *RedisServer) Replace() {
	s.t.Helper()
	s.Halt()
	s.empty()
	s.Start()
}
