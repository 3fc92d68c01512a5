package app

import (
	"log/slog"
	"syscall"
	"testing"

	"leadevents/auth"
	"leadevents/configs"
	"leadevents/internal/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// storeSettings is the defaults with a database and a key prefix of the test's.
func storeSettings(t *testing.T) configs.Settings {
	t.Helper()
	database, redis := storetest.ClickHouse(t), storetest.Redis(t)
	s := configs.Defaults()
	s.Listen = "127.0.0.1:0"
	s.ClickHouse.Addrs, s.ClickHouse.Database = []string{database.Native}, database.Database
	s.ClickHouse.User, s.ClickHouse.Password = database.User, auth.NewSecret(database.Password)
	s.Redis.Addr, s.Redis.Password, s.Redis.KeyPrefix = redis.Addr, auth.NewSecret(redis.Password), redis.Prefix
	return s
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// kill ends a child as a crash would.
func kill(t *testing.T, pid int) {
	t.Helper()
	if pid <= 0 {
		t.Fatalf("pid %d is no child", pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}
