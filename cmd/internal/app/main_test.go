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
	s.ClickHouse.HTTPAddrs, s.SQL.UserPool = []string{database.HTTP}, storetest.AnalystUsers
	s.ClickHouse.User, s.ClickHouse.Password = database.User, auth.NewSecret(database.Password)
	s.Redis.Addr, s.Redis.Password, s.Redis.KeyPrefix = redis.Addr, auth.NewSecret(redis.Password), redis.Prefix
	return s
}

// quiet is a log that nobody reads but the search for secrets.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(storetest.Output("the log of what tests do beside servers"), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// secretsOf has the secrets of settings looked for in what is written.
func secretsOf(s configs.Settings) {
	storetest.Secret("a master key", s.MasterKey.Reveal(), s.OldMasterKey.Reveal(), s.NextMasterKey.Reveal())
	storetest.Secret("an operator token", s.OperatorToken.Reveal())
	storetest.Secret("a store's password", s.ClickHouse.Password.Reveal(), s.Redis.Password.Reveal())
}

// checked is the findings of `leadevents check`.
func checked(t *testing.T, s configs.Settings) []Finding {
	t.Helper()
	secretsOf(s)
	all := Check(t.Context(), s)
	if _, err := WriteFindings(storetest.Output("the findings of check in "+t.Name()), all); err != nil {
		t.Fatal(err)
	}
	return all
}

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
