package app

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"leadevents/auth"
	"leadevents/clickhouse/embedded"
	"leadevents/clickhouse/schema"
	"leadevents/configs"
	"leadevents/internal/storetest"
)

// closed is an address on loopback where nobody listens: port 1 is reserved.
const closed = "127.0.0.1:1"

// find is the finding of a subject whose text contains part.
func find(all []Finding, subject, part string) (Finding, bool) {
	for _, f := range all {
		if f.Subject == subject && strings.Contains(f.Text, part) {
			return f, true
		}
	}
	return Finding{}, false
}

func brokenOf(all []Finding) []Finding {
	var broken []Finding
	for _, f := range all {
		if f.Level == Broken {
			broken = append(broken, f)
		}
	}
	return broken
}

func TestCheckOfAHealthySetup(t *testing.T) {
	s := storeSettings(t)
	s.MasterKey, s.OperatorToken = auth.NewMasterKey(), auth.NewSecret("an-operator-token-of-some-length")
	if err := Migrate(t.Context(), s, quiet()); err != nil {
		t.Fatal(err)
	}
	all := checked(t, s)
	for _, f := range all {
		if f.Level != OK || f.Remedy != "" {
			t.Errorf("%s: %s → %s (%s)", f.Subject, f.Text, f.Remedy, f.Level)
		}
	}
	for _, want := range []struct{ subject, part string }{
		{"settings", "all known"},
		{"clickhouse", "answers in"}, {"clickhouse", "version 26."}, {"clickhouse", "has all"}, {"clickhouse", "survive a crash"}, {"clickhouse", "organizations' SQL"}, {"master key", "all 0 signing secrets"},
		{"redis", "answers in"}, {"redis", "version "}, {"redis", "noeviction"}, {"redis", "appendonly is on"}, {"redis", "primary"}, {"redis", "pub/sub"},
		{"clocks", "ClickHouse's clock and ours"}, {"clocks", "Redis' clock and ours"}, {"clocks", "Redis' clock and ClickHouse's"},
	} {
		if _, ok := find(all, want.subject, want.part); !ok {
			t.Errorf("nothing was said of %s: %q", want.subject, want.part)
		}
	}
	var out bytes.Buffer
	if broken, err := WriteFindings(&out, all); broken != 0 || err != nil {
		t.Errorf("WriteFindings: %d broken, %v", broken, err)
	}
	if strings.Contains(out.String(), s.ClickHouse.Password.Reveal()) || strings.Contains(out.String(), s.Redis.Password.Reveal()) {
		t.Errorf("a password shows:\n%s", &out)
	}
}

func TestCheckSaysWhatToDo(t *testing.T) {
	healthy := storeSettings(t)
	if err := Migrate(t.Context(), healthy, quiet()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		claim                 string
		change                func(*configs.Settings)
		subject, text, remedy string
		level                 Level
	}{
		{"ClickHouse is not there", func(s *configs.Settings) { s.ClickHouse.Addrs = []string{closed} },
			"clickhouse", "connection refused", "start ClickHouse, or correct clickhouse.addrs", Broken},
		{"the database does not exist", func(s *configs.Settings) { s.ClickHouse.Database = "nowhere_to_be_found" },
			"clickhouse", "lacks", "leadevents migrate", Broken},
		{"Redis is not there", func(s *configs.Settings) { s.Redis.Addr = closed },
			"redis", "connection refused", "start Redis, or correct redis.addr", Broken},
		{"Redis' password is wrong", func(s *configs.Settings) { s.Redis.Password = auth.NewSecret("wrong") },
			"redis", "WRONGPASS", "correct redis.user and redis.password", Broken},
		{"Redis' password is missing", func(s *configs.Settings) { s.Redis.Password = auth.Secret{} },
			"redis", "NOAUTH", "correct redis.user and redis.password", Broken},
		{"Redis' database does not exist", func(s *configs.Settings) { s.Redis.DB = 1000 },
			"redis", "DB index", "correct redis.db", Broken},
		{"a server that does not keep clickhouse.fsync", func(s *configs.Settings) { s.ClickHouse.Fsync = true },
			"clickhouse", "before they are on disk", "fsync_after_insert", Broken},
		{"no master key", func(s *configs.Settings) { s.MasterKey = auth.Secret{} },
			"settings", "hmac", "openssl rand -hex 32", Warning},
		{"no operator token", func(s *configs.Settings) { s.OperatorToken = auth.Secret{} },
			"settings", "administered", "LEADEVENTS_OPERATOR_TOKEN", Warning},
	} {
		t.Run(c.claim, func(t *testing.T) {
			s := healthy
			c.change(&s)
			all := checked(t, s)
			f, ok := find(all, c.subject, c.text)
			if !ok || f.Level != c.level || !strings.Contains(f.Remedy, c.remedy) {
				t.Fatalf("found %+v\nin %+v\nwant %s %q → %q", f, all, c.level, c.text, c.remedy)
			}
			if broken := brokenOf(all); c.level == Broken && len(broken) != 1 {
				t.Errorf("one thing is wrong, but broken are: %+v", broken)
			}
			for _, f := range all {
				if f.Level != OK && f.Remedy == "" {
					t.Errorf("%s: %s: no remedy", f.Subject, f.Text)
				}
			}
		})
	}
}

// An engine of its own: the embedded one aborts at a wrong password (and is
// started again), where a ClickHouse server only refuses it.
func TestCheckOfAWrongClickHousePassword(t *testing.T) {
	own := storetest.OwnClickHouse(t)
	store := own.Store()
	s := storeSettings(t)
	s.ClickHouse.Addrs, s.ClickHouse.User, s.ClickHouse.Password = []string{store.Native}, store.User, auth.NewSecret("wrong")
	f, ok := find(checked(t, s), "clickhouse", "cannot be used")
	if !ok || f.Level != Broken || !strings.Contains(f.Remedy, "correct clickhouse.user and clickhouse.password") {
		t.Errorf("%+v", f)
	}
}

func TestCheckOfAServerThatSyncs(t *testing.T) {
	own := storetest.OwnClickHouse(t, func(c *embedded.Config) { c.Fsync = true })
	store := own.Store()
	s := storeSettings(t)
	s.ClickHouse.Addrs, s.ClickHouse.User, s.ClickHouse.Password = []string{store.Native}, store.User, auth.NewSecret(store.Password)
	s.ClickHouse.Fsync = true
	if f, ok := find(checked(t, s), "clickhouse", "survive a power cut"); !ok || f.Level != OK {
		t.Errorf("%+v", f)
	}
}

func TestCheckOfARedisThatEvicts(t *testing.T) {
	own := storetest.OwnRedis(t)
	e := own.Endpoint()
	s := storeSettings(t)
	s.Redis.Addr, s.Redis.Password = e.Addr, auth.NewSecret(e.Password)
	client := redis.NewClient(&redis.Options{Addr: e.Addr, Password: e.Password})
	defer func() { _ = client.Close() }()
	if err := errors.Join(
		client.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(),
		client.ConfigSet(t.Context(), "appendonly", "no").Err(),
	); err != nil {
		t.Fatal(err)
	}
	all := checked(t, s)
	if f, ok := find(all, "redis", "maxmemory-policy is allkeys-lru"); !ok || f.Level != Broken || !strings.Contains(f.Remedy, "CONFIG SET maxmemory-policy noeviction") {
		t.Errorf("eviction: %+v", f)
	}
	if f, ok := find(all, "redis", "appendonly is off"); !ok || f.Level != Warning {
		t.Errorf("no append-only file: %+v", f)
	}
}

func TestCheckOfADatabaseOfAnotherBinary(t *testing.T) {
	s := storeSettings(t)
	if err := Migrate(t.Context(), s, quiet()); err != nil {
		t.Fatal(err)
	}
	db, err := openClickHouse(s, dialers{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Conn().Exec(t.Context(), "INSERT INTO schema_migrations VALUES (9999, '9999_future.sql', 'x', now64(3))"); err != nil {
		t.Fatal(err)
	}
	all := checked(t, s)
	if f, ok := find(all, "clickhouse", "9999_future.sql"); !ok || f.Level != Broken || !strings.Contains(f.Remedy, "newer") {
		t.Errorf("a newer database: %+v in %+v", f, all)
	}
	// And the two commands that would write refuse, for the same reason.
	if err := Migrate(t.Context(), s, quiet()); !errors.Is(err, schema.ErrNewer) {
		t.Errorf("migrate: %v", err)
	}
	if err := Serve(t.Context(), s, quiet()); err == nil || !strings.Contains(err.Error(), "9999_future.sql") {
		t.Errorf("serve: %v", err)
	}
}

func TestServeRefusesADatabaseWithoutTables(t *testing.T) {
	if err := Serve(t.Context(), storeSettings(t), quiet()); err == nil || !strings.Contains(err.Error(), "leadevents migrate") {
		t.Errorf("serve: %v", err)
	}
}

func TestClocksThatDiffer(t *testing.T) {
	s := configs.Defaults() // margin 5 s
	at := func(ahead time.Duration) *clock { return &clock{ahead, time.Millisecond} }
	for _, c := range []struct {
		claim           string
		database, cache *clock
		want            []Level
	}{
		{"all together", at(0), at(10 * time.Millisecond), []Level{OK, OK, OK}},
		{"a store that did not answer is not compared", nil, at(0), []Level{OK}},
		{"more than half of the margin", at(3 * time.Second), at(3 * time.Second), []Level{Warning, Warning, OK}},
		{"the stores are together, we are not", at(6 * time.Second), at(6 * time.Second), []Level{Broken, Broken, OK}},
		{"each within the margin, but not from each other", at(-3 * time.Second), at(3 * time.Second), []Level{Warning, Warning, Broken}},
		{"behind counts like ahead", at(-6 * time.Second), at(0), []Level{Broken, OK, Broken}},
	} {
		t.Run(c.claim, func(t *testing.T) {
			all := checkClocks(s, c.database, c.cache)
			if len(all) != len(c.want) {
				t.Fatalf("%d findings, want %d", len(all), len(c.want))
			}
			for i, f := range all {
				if f.Level != c.want[i] {
					t.Errorf("%s: %s, want %s", f.Text, f.Level, c.want[i])
				}
			}
		})
	}
}

func TestCheckVersion(t *testing.T) {
	for _, c := range []struct {
		subject, version string
		least            int
		want             Level
	}{
		{"redis", "7.0.15", minRedis, OK}, {"redis", "6.2.14", minRedis, Broken}, {"redis", "10.0.0", minRedis, OK},
		{"clickhouse", "26.7.3.1", minClickHouse, OK}, {"clickhouse", "25.8.1.1", minClickHouse, Warning},
		{"clickhouse", "24.8.1.1", minClickHouse, Broken}, {"redis", "unknown", minRedis, Warning},
	} {
		if f := checkVersion(c.subject, c.version, c.least, "upgrade"); f.Level != c.want {
			t.Errorf("%s %s: %s, want %s", c.subject, c.version, f.Level, c.want)
		}
	}
}

// leaving is an address at which ClickHouse answers until it is asked for its
// migrations.
func leaving(t *testing.T, addr string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			all.Go(func() {
				_, _ = io.Copy(client, server)
				_ = client.Close()
			})
			all.Go(func() {
				defer server.Close()
				defer client.Close()
				for buf := make([]byte, 64<<10); ; {
					n, err := client.Read(buf)
					if err != nil || bytes.Contains(buf[:n], []byte("schema_migrations")) {
						return
					}
					if _, err := server.Write(buf[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		all.Wait()
	})
	return listener.Addr().String()
}

// A ClickHouse that dies while a server starts is no reason not to start: it may come
// back. One with other tables is.
func TestAServerStartsBesideAClickHouseThatLeaves(t *testing.T) {
	s := storeSettings(t)
	var warned bytes.Buffer
	log := slog.New(slog.NewTextHandler(&warned, nil))
	if err := requireSchema(t.Context(), s, log); err == nil || !strings.Contains(err.Error(), "lacks") {
		t.Errorf("without tables: %v", err)
	}
	s.ClickHouse.Addrs = []string{leaving(t, s.ClickHouse.Addrs[0])}
	if err := requireSchema(t.Context(), s, log); err != nil || !strings.Contains(warned.String(), "does not answer") {
		t.Errorf("%v; warned %q", err, &warned)
	}
	finding, err := func() (Finding, error) {
		db, err := openAnyDatabase(s, dialers{})
		if err != nil {
			return Finding{}, err
		}
		defer db.Close()
		return checkSchema(t.Context(), db, s.ClickHouse.Database)
	}()
	if err == nil || finding.Level != Broken || strings.Contains(finding.Remedy, "grant") {
		t.Errorf("%+v %v: rights have nothing to do with it", finding, err)
	}
}
