package storetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/redis/go-redis/v9"

	"leadevents/internal/storetest"
)

func open(t *testing.T, s storetest.ClickHouseStore) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:        []string{s.Native},
		Auth:        clickhouse.Auth{Database: s.Database, Username: s.User, Password: s.Password},
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	names := map[string]bool{}
	for range 2 {
		s := storetest.ClickHouse(t)
		names[s.Database] = true
		conn := open(t, s)
		if err := conn.Exec(t.Context(), "CREATE TABLE same_name (a UInt64) ENGINE = MergeTree ORDER BY a"); err != nil {
			t.Fatal(err)
		}
	}
	if len(names) != 2 {
		t.Fatalf("two stores share a database: %v", names)
	}
}

func TestADatabaseIsDroppedAfterItsTest(t *testing.T) {
	var inner storetest.ClickHouseStore
	t.Run("inner", func(t *testing.T) { inner = storetest.ClickHouse(t) })
	var left uint64
	if err := open(t, storetest.ClickHouse(t)).QueryRow(t.Context(), "SELECT count() FROM system.databases WHERE name = ?", inner.Database).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Fatalf("the database %s is still there", inner.Database)
	}
}

func TestEachTestHasAPrefixOfItsOwn(t *testing.T) {
	a, b := storetest.Redis(t), storetest.Redis(t)
	if a.Prefix == b.Prefix || a.Addr != b.Addr {
		t.Fatalf("got %+v and %+v: want one server, two prefixes", a, b)
	}
}

func client(t *testing.T, s storetest.RedisStore) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr, Password: s.Password})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestOwnServersAreTormentedAlone(t *testing.T) {
	bystander := open(t, storetest.ClickHouse(t))
	engine := storetest.OwnClickHouse(t)
	conn := open(t, engine.Store())
	if err := conn.Exec(t.Context(), "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	pid := engine.Endpoint().PID
	engine.Kill()
	engine.Await(pid)
	if err := conn.Exec(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		t.Errorf("the same connection pool does not work after the restart: %v", err)
	}
	engine.Replace()
	var tables uint64
	if err := open(t, engine.Store()).QueryRow(t.Context(), "SELECT count() FROM system.tables WHERE database = currentDatabase()").Scan(&tables); err != nil || tables != 0 {
		t.Errorf("a replaced engine has %d tables (%v), want none", tables, err)
	}
	if err := bystander.Ping(t.Context()); err != nil {
		t.Errorf("the shared engine suffered: %v", err)
	}
}

func TestAnOwnRedisCanBePausedAndReplaced(t *testing.T) {
	server := storetest.OwnRedis(t)
	c := client(t, server.Store())
	if err := c.Set(t.Context(), "a", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	server.Pause()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	paused := redis.NewClient(&redis.Options{Addr: server.Store().Addr, Password: server.Store().Password, ContextTimeoutEnabled: true, MaxRetries: -1})
	defer func() { _ = paused.Close() }()
	if err := paused.Get(short, "a").Err(); err == nil {
		t.Error("a paused server answered")
	}
	server.Resume()
	if got, err := c.Get(t.Context(), "a").Result(); err != nil || got != "1" {
		t.Errorf("after Resume: %q, %v", got, err)
	}
	server.Replace()
	if n, err := c.Exists(t.Context(), "a").Result(); err != nil || n != 0 {
		t.Errorf("a replaced server has the key still: %d, %v", n, err)
	}
}
