package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leadevents/clickhouse/analyst"
	"leadevents/clickhouse/embedded"
	"leadevents/internal/child"
	"leadevents/internal/redisserver"
)

const (
	startLimit = 2 * time.Minute // eight test processes on two cores start slowly
	stopLimit  = time.Minute
	queryLimit = time.Minute
	// engineMemory leaves room for several test processes on one machine.
	engineMemory = 3 << 30
)

// AnalystUsers is how many database users for organizations' own SQL each engine has;
// see configs' sql.user_pool.
const AnalystUsers = 64

// ClickHouseStore is a database of a test's own.
type ClickHouseStore struct {
	Native, HTTP   string // host:port
	Database       string // empty, Atomic
	User, Password string // all rights
}

// RedisStore is a part of a Redis of a test's own.
type RedisStore struct {
	Addr, Password string
	Prefix         string // every key of the test begins with it
}

// stores are the servers that the tests of one process share. It is the one
// global here: TestMain and the tests have no other place to meet.
type stores struct {
	mu         sync.Mutex
	dir        string
	held       *child.Folder // dir, as long as this process lives
	kept       atomic.Bool   // a test failed: leave the files
	clickHouse *embedded.Server
	redis      *redisserver.Server
	clickErr   error // a store that failed to start is not tried again by every test
	redisErr   error
	serial     atomic.Int64
}

var shared stores

// Main is the body of TestMain: it runs the tests, stops the stores they used,
// removes their files unless a test failed, looks for secrets in what was written
// (see [Output]), calls after (a check for leaked goroutines, say) and exits.
func Main(m *testing.M, after ...func() error) {
	embedded.Main() // does not return in the engine's process
	os.Exit(Run(m, after...))
}

// Run is Main without the exit, for a TestMain that has more to do. It calls
// embedded.Main first of all.
func Run(m *testing.M, after ...func() error) (code int) {
	code = m.Run()
	err := shared.stop()
	err = errors.Join(err, written.check())
	for _, check := range after {
		err = errors.Join(err, check())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		code = max(code, 1)
	}
	return code
}

func (s *stores) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	var errs []error
	if s.clickHouse != nil {
		errs = append(errs, s.clickHouse.Stop(ctx))
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Stop(ctx))
	}
	if s.dir != "" && !s.kept.Load() {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	if s.held != nil {
		errs = append(errs, s.held.Close())
	}
	return errors.Join(errs...)
}

// folder is a new folder under the process' own one.
func (s *stores) folder(name string) (string, error) {
	if s.dir == "" {
		sweep()
		dir, err := os.MkdirTemp("", folderPrefix)
		if err != nil {
			return "", fmt.Errorf("make the folder of the test stores: %w", err)
		}
		if s.held, err = child.OpenFolder(dir); err != nil {
			return "", err
		}
		s.dir = dir
	}
	return filepath.Join(s.dir, name), nil
}

const (
	folderPrefix = "leadevents-test-"
	// keepFor is how long one has to look at what a failed test left.
	keepFor = 24 * time.Hour
)

// sweep removes old folders of failed tests and of test processes that were
// killed. One that a living process holds is left alone, however old.
func sweep() {
	paths, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < keepFor {
			continue
		}
		folder, err := child.OpenFolder(path)
		if err != nil {
			continue // held, or somebody else's
		}
		_ = os.RemoveAll(path)
		_ = folder.Close()
	}
}

// name turns a test's name into one for a database or a prefix, unique in this
// process: "TestSeal/one_key" is "seal_one_key_7".
func (s *stores) name(t testing.TB) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(strings.TrimPrefix(t.Name(), "Test")))
	return fmt.Sprintf("t_%s_%d", name[:min(len(name), 60)], s.serial.Add(1))
}

func (s *stores) engine() (*embedded.Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clickHouse == nil && s.clickErr == nil {
		var dir string
		if dir, s.clickErr = s.folder("clickhouse"); s.clickErr == nil {
			ctx, cancel := context.WithTimeout(context.Background(), startLimit)
			defer cancel()
			s.clickHouse, s.clickErr = embedded.Start(ctx, engineConfig(dir))
		}
	}
	return s.clickHouse, s.clickErr
}

func engineConfig(dir string) embedded.Config {
	return embedded.Config{
		DataDir: dir, MemoryLimitBytes: engineMemory, StopTimeout: stopLimit / 2,
		Analysts: embedded.Analysts{Users: AnalystUsers, Limits: analyst.Limits{Memory: 256 << 20, OrganizationMemory: 512 << 20, RowsRead: 2_000_000_000, ResultRows: 20_000_000}},
	}
}

func (s *stores) redisServer() (*redisserver.Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.redis == nil && s.redisErr == nil {
		var dir string
		if dir, s.redisErr = s.folder("redis"); s.redisErr == nil {
			ctx, cancel := context.WithTimeout(context.Background(), startLimit)
			defer cancel()
			s.redis, s.redisErr = redisserver.Start(ctx, redisConfig(dir))
		}
	}
	return s.redis, s.redisErr
}

func redisConfig(dir string) redisserver.Config {
	return redisserver.Config{DataDir: dir, StopTimeout: stopLimit / 2}
}

// ClickHouse is an empty database for this test, dropped after it unless it
// failed. The engine is shared: do not kill it (see [OwnClickHouse]).
func ClickHouse(t testing.TB) ClickHouseStore {
	t.Helper()
	server, err := shared.engine()
	if err != nil {
		t.Fatalf("no ClickHouse for this test: %v", err)
	}
	database := shared.name(t)
	execute(t, server, "CREATE DATABASE "+database+" ENGINE = Atomic")
	t.Cleanup(func() {
		if t.Failed() {
			shared.kept.Store(true)
			t.Logf("the database %s is kept in %s; start the engine on that folder to look at it", database, filepath.Join(shared.dir, "clickhouse"))
			return
		}
		freeAnalysts(t, server, database)
		execute(t, server, "DROP DATABASE "+database+" SYNC")
	})
	return clickHouseStore(server, database)
}

// freeAnalysts gives back the users that the test's organizations took.
func freeAnalysts(t testing.TB, server *embedded.Server, database string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), queryLimit)
	defer cancel()
	taken, err := server.Exec(ctx, "SELECT database FROM system.tables WHERE name = 'events' AND startsWith(database, 'leadevents_analyst_') AND position(comment, ' "+database+"/') > 0")
	if err != nil {
		t.Fatalf("look for the analysts' views of %s: %v", database, err)
	}
	for _, account := range strings.Fields(taken) {
		execute(t, server, "DROP VIEW IF EXISTS "+account+".events SYNC")
	}
}

func clickHouseStore(server *embedded.Server, database string) ClickHouseStore {
	e := server.Endpoint()
	Secret("ClickHouse's password", e.Password)
	return ClickHouseStore{Native: e.Native, HTTP: e.HTTP, Database: database, User: e.User, Password: e.Password}
}

func execute(t testing.TB, server *embedded.Server, statement string) {
	t.Helper()
	// Not the test's context: this also runs in cleanups, after its end.
	ctx, cancel := context.WithTimeout(context.Background(), queryLimit)
	defer cancel()
	if _, err := server.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Redis is a key prefix for this test on the shared server. Do not FLUSHALL or
// kill it (see [OwnRedis]).
func Redis(t testing.TB) RedisStore {
	t.Helper()
	server, err := shared.redisServer()
	if err != nil {
		t.Fatalf("no Redis for this test: %v", err)
	}
	prefix := shared.name(t) + ":"
	t.Cleanup(func() {
		if t.Failed() {
			shared.kept.Store(true)
			t.Logf("the keys %s* are kept in %s", prefix, filepath.Join(shared.dir, "redis"))
		}
	})
	e := server.Endpoint()
	Secret("Redis' password", e.Password)
	return RedisStore{Addr: e.Addr, Password: e.Password, Prefix: prefix}
}
