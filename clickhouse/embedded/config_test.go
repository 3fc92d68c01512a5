package embedded_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"leadevents/clickhouse/embedded"
)

// ask runs one statement as somebody and returns status and body.
func ask(t *testing.T, e embedded.Endpoint, user, password, statement string) (int, string) {
	t.Helper()
	target := "http://" + e.HTTP + "/?" + url.Values{"user": {user}, "password": {password}}.Encode()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestUsersMayDoWhatTheyAreGrantedAndNoMore(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.Databases = append(cfg.Databases, "q_1")
	cfg.Profiles = []embedded.Profile{{
		Name:     "analyst",
		Settings: map[string]string{"max_execution_time": "7", "readonly": "1"},
		Constant: []string{"max_execution_time"},
	}}
	cfg.Users = []embedded.User{
		{Name: "reader", Password: "p<&>'\"1", Profile: "analyst", Grants: []string{"GRANT SELECT ON q_1.*"}},
		{Name: "nobody", Password: "p2"},
	}
	server := start(t, cfg)
	e := server.Endpoint()
	fill(t, connect(t, e))
	if _, err := server.Exec(t.Context(), "CREATE VIEW q_1.mine DEFINER = "+embedded.AdminUser+" SQL SECURITY DEFINER AS SELECT id FROM shop.sales WHERE id < 10"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, user, password, statement string
		status                          int
		body                            string
	}{
		{"a user reads what is granted", "reader", "p<&>'\"1", "SELECT count() FROM q_1.mine", 200, "10\n"},
		{"not the table behind it", "reader", "p<&>'\"1", "SELECT count() FROM shop.sales", 500, "Not enough privileges"},
		{"has its profile", "reader", "p<&>'\"1", "SELECT getSetting('max_execution_time')", 200, "7"},
		{"cannot change it", "reader", "p<&>'\"1", "SELECT 1 SETTINGS max_execution_time = 99", 500, "max_execution_time"},
		{"a wrong password is refused", "reader", "p", "SELECT 1", 403, "Authentication failed"},
		{"no grants, nothing to read", "nobody", "p2", "SELECT count() FROM q_1.mine", 500, "Not enough privileges"},
		{"the engine's own user is closed", "default", "", "SELECT 1", 500, "USER_SESSION_LIMIT_EXCEEDED"},
		{"no user is nobody", "", "", "SELECT 1", 403, "AUTHENTICATION_FAILED"},
		{"the user with all rights needs the password", embedded.AdminUser, "", "SELECT 1", 403, "Authentication failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body := ask(t, e, test.user, test.password, test.statement)
			if status != test.status || !strings.Contains(body, test.body) {
				t.Errorf("got %d %q, want %d and %q in it", status, body, test.status, test.body)
			}
		})
	}
	t.Run("over the native port too", func(t *testing.T) {
		e := e
		e.User, e.Password = "default", ""
		if err := connect(t, e).Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "overflown session count") {
			t.Errorf("the engine's own user got in: %v", err)
		}
	})
}

func TestSettingsReachTheEngine(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.Fsync = true
	cfg.QueryLogDays = 3
	cfg.MemoryLimitBytes = 777 << 20
	for run := range 2 { // the second run makes the log's table again
		server := start(t, cfg)
		if _, err := server.Exec(t.Context(), "SYSTEM FLUSH LOGS"); err != nil {
			t.Fatal(err)
		}
		for statement, want := range map[string]string{
			"SELECT value FROM system.merge_tree_settings WHERE name = 'fsync_after_insert'":                                                    "1\n",
			"SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'":                                                   "814743552\n",
			"SELECT count() > 0 FROM system.query_log":                                                                                          "1\n",
			"SELECT count() FROM system.errors WHERE value > 0":                                                                                 "0\n",
			"SELECT engine FROM system.databases WHERE name = 'shop'":                                                                           "Atomic\n",
			"SELECT engine_full LIKE '%TTL event_date + toIntervalDay(3)%' FROM system.tables WHERE database = 'system' AND name = 'query_log'": "1\n",
		} {
			if got, err := server.Exec(t.Context(), statement); err != nil || got != want {
				t.Errorf("run %d: %s: %q, %v; want %q", run, statement, got, err, want)
			}
		}
		stop(t, server)
	}
}

func TestWithoutAQueryLogNoneIsKept(t *testing.T) {
	server := start(t, config(t.TempDir()))
	if got, err := server.Exec(t.Context(), "SELECT count() FROM system.tables WHERE database = 'system' AND name LIKE '%\\_log'"); err != nil || got != "0\n" {
		t.Errorf("%q log tables (%v), want none", got, err)
	}
}

func TestUnusableUsersAreRefusedBeforeAnythingStarts(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*embedded.Config)
		want   string
	}{
		{"a name that is no name", func(c *embedded.Config) { c.Users = []embedded.User{{Name: "a b", Password: "x"}} }, `user name "a b"`},
		{"the name of the user with all rights", func(c *embedded.Config) { c.Users = []embedded.User{{Name: embedded.AdminUser, Password: "x"}} }, "is taken"},
		{"the engine's own name", func(c *embedded.Config) { c.Users = []embedded.User{{Name: "default", Password: "x"}} }, "is taken"},
		{"one name twice", func(c *embedded.Config) {
			c.Users = []embedded.User{{Name: "a", Password: "x"}, {Name: "a", Password: "y"}}
		}, "is taken"},
		{"no password", func(c *embedded.Config) { c.Users = []embedded.User{{Name: "a"}} }, "has no password"},
		{"an unknown profile", func(c *embedded.Config) { c.Users = []embedded.User{{Name: "a", Password: "x", Profile: "p"}} }, "not in Profiles"},
		{"a profile's name that is taken", func(c *embedded.Config) { c.Profiles = []embedded.Profile{{Name: "bootstrap"}} }, "profile name"},
		{"a setting that is no name", func(c *embedded.Config) {
			c.Profiles = []embedded.Profile{{Name: "p", Settings: map[string]string{"a/><b": "1"}}}
		}, "is not a name"},
		{"a database that is no name", func(c *embedded.Config) { c.Databases = []string{"a; DROP DATABASE b"} }, "database name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(t.TempDir())
			test.change(&cfg)
			server, err := embedded.Start(t.Context(), cfg)
			if err == nil {
				_ = server.Stop(context.Background())
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}
