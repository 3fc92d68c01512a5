package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"leadevents"
	"leadevents/auth"
)

// equal compares settings with their secrets, which cmp must be allowed to see.
var equal = cmp.Comparer(func(a, b auth.Secret) bool { return a.Reveal() == b.Reveal() })

// clean removes LEADEVENTS_* variables of whoever runs the tests.
func clean(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, EnvPrefix) {
			t.Setenv(name, value) // restores it at the end
			_ = os.Unsetenv(name)
		}
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExampleIsTheDefaults(t *testing.T) {
	clean(t)
	loaded, err := Load(Options{File: "leadevents.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Defaults(), loaded.Settings, equal); diff != "" {
		t.Errorf("leadevents.yaml differs from the defaults (-default +file):\n%s", diff)
	}
	for _, s := range schema() {
		if loaded.sources[s.key] == "default" {
			t.Errorf("leadevents.yaml does not show %s", s.key)
		}
	}
}

func TestExampleShowsTheRanges(t *testing.T) {
	text, err := os.ReadFile("leadevents.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range schema() {
		if s.limits == "" || s.secret() {
			continue
		}
		name := s.key[strings.LastIndex(s.key, ".")+1:]
		found := slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool {
			return strings.HasPrefix(strings.TrimSpace(line), name+": ") && strings.HasSuffix(line, "# "+s.limits)
		})
		if !found {
			t.Errorf("leadevents.yaml does not say that %s is %s", s.key, s.limits)
		}
	}
}

func TestDefaultsKeepTheRules(t *testing.T) {
	d, faults := Defaults(), &Faults{}
	if d.rules(faults); len(faults.list) > 0 {
		t.Error(faults)
	}
}

// They have connections of their own.
func TestStreamsAndPreviewsTakeNoneOfMaxConns(t *testing.T) {
	s, faults := Defaults(), &Faults{}
	s.Sends.Streams, s.Filters.AtOnce, s.Filters.Threads = 256, 64, 256
	if s.rules(faults); len(faults.list) > 0 {
		t.Error(faults)
	}
}

func TestDesignsNumbersAreTheDefaults(t *testing.T) {
	d := Defaults()
	for name, c := range map[string]struct{ got, want any }{
		"listen":      {d.Listen, "127.0.0.1:8080"},
		"T":           {d.Ledger.Horizon, 72 * time.Hour},
		"Tshort":      {d.Ledger.ShortHorizon, 10 * time.Minute},
		"D":           {d.Ledger.Deadline, 30 * time.Second},
		"clock skew":  {d.Filters.ClockSkew, 5 * time.Minute},
		"body memory": {d.HTTP.MaxBodyMemory, Bytes(128 << 20)},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, the design says %v", name, c.got, c.want)
		}
	}
}

func TestVariableNamesAreDistinct(t *testing.T) {
	seen := map[string]string{}
	for _, key := range Keys() {
		if other, ok := seen[envName(key)]; ok {
			t.Errorf("%s and %s share %s", key, other, envName(key))
		}
		seen[envName(key)] = key
	}
	if !slices.Contains(Env(), "LEADEVENTS_OPERATOR_TOKEN") {
		t.Error("the contract's LEADEVENTS_OPERATOR_TOKEN is no setting")
	}
}

func TestPrecedence(t *testing.T) {
	const key, name = "redis.db", "LEADEVENTS_REDIS_DB"
	file := "redis:\n  db: 1\n"
	for _, c := range []struct {
		claim      string
		file, env  string
		flag       string
		want       int
		wantSource string
	}{
		{"nothing set: the default", "", "", "", 0, "default"},
		{"the file beats the default", file, "", "", 1, "leadevents.yaml:2"},
		{"the environment beats the file", file, "2", "", 2, name},
		{"a flag beats the environment", file, "2", "3", 3, "flag redis.db"},
		{"a flag beats the file", file, "", "3", 3, "flag redis.db"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			clean(t)
			o := Options{Flags: map[string]string{}}
			if c.file != "" {
				o.File = write(t, "leadevents.yaml", c.file)
			}
			if c.env != "" {
				t.Setenv(name, c.env)
			}
			if c.flag != "" {
				o.Flags[key] = c.flag
			}
			loaded, err := Load(o)
			if err != nil {
				t.Fatal(err)
			}
			if got := loaded.Redis.DB; got != c.want || loaded.sources[key] != c.wantSource {
				t.Errorf("redis.db = %d from %s, want %d from %s", got, loaded.sources[key], c.want, c.wantSource)
			}
		})
	}
}

func TestValues(t *testing.T) {
	clean(t)
	loaded, err := Load(Options{File: write(t, "s.yaml", `
listen: ":0"
clickhouse:
  addrs: [ch1:9000, "[::1]:9000"]
  password: 0123
  tls: true
redis:
ledger:
  horizon: 240h
ingest:
  group_bytes: 1048576
http: {max_body_memory: 1GiB, trusted_proxies: [10.0.0.0/8, "::1"]}
pprof: {listen: "[::1]:6060"}
log: {level: debug, format: json, requests: false}
`)})
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Listen = ":0"
	want.ClickHouse.Addrs = []string{"ch1:9000", "[::1]:9000"}
	want.ClickHouse.Password = auth.NewSecret("0123") // the text, not the octal number
	want.ClickHouse.TLS = true
	want.Ledger.Horizon = 240 * time.Hour
	want.Ingest.GroupBytes, want.HTTP.MaxBodyMemory = 1<<20, 1<<30
	want.HTTP.TrustedProxies = []string{"10.0.0.0/8", "::1"}
	want.Pprof.Listen = "[::1]:6060"
	want.Log = Log{Level: "debug", Format: "json"}
	if diff := cmp.Diff(want, loaded.Settings, equal); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestListFromTheEnvironment(t *testing.T) {
	clean(t)
	t.Setenv("LEADEVENTS_CLICKHOUSE_ADDRS", "a:1, b:2")
	loaded, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := loaded.ClickHouse.Addrs, []string{"a:1", "b:2"}; !slices.Equal(got, want) {
		t.Errorf("addrs = %q, want %q", got, want)
	}
}

// Every file of testdata/bad begins with "# want: " lines: the message it must
// give, word for word, without the file's name.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d bad files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			clean(t)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(text)) {
				if w, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "# want: "); ok {
					want = append(want, strings.ReplaceAll(w, "FILE", filepath.Base(file)))
				}
			}
			_, err = Load(Options{File: file})
			if err == nil {
				t.Fatalf("was accepted; want %q", want)
			}
			got := []string{strings.ReplaceAll(err.Error(), file, filepath.Base(file))}
			if faults, ok := errors.AsType[*Faults](err); ok {
				got = faults.List()
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

// Every setting with a range refuses what lies outside of it, and says the key,
// the value and the range; the ends are allowed.
func TestEveryRangeIsEnforced(t *testing.T) {
	for _, s := range schema() {
		lowest, highest, ok := strings.Cut(s.limits, "..")
		if !ok || s.secret() {
			continue
		}
		for _, end := range []string{lowest, highest} {
			settings := Defaults()
			if err := s.assign(&settings, end); err != nil {
				t.Errorf("%s refuses %s, the end of its range: %v", s.key, end, err)
			}
		}
		var outside []string
		switch s.kind {
		case durationType:
			outside = []string{"-1ns", "8761h", "5", "", "fast"}
		case bytesType:
			outside = []string{"-1", "1025GiB", "1MB", "1.5MiB", "", "much"}
		default:
			outside = []string{"-1", "999999999999999999", "1.5", "", "many", "9999999999999999999999"}
		}
		for _, value := range outside {
			settings, faults := Defaults(), &Faults{}
			s.check(&settings, value, "test", faults)
			if len(faults.list) != 1 {
				t.Errorf("%s = %q: %d faults", s.key, value, len(faults.list))
				continue
			}
			for _, part := range []string{s.key, s.show(value), lowest, highest} {
				if !strings.Contains(faults.list[0], part) {
					t.Errorf("%s = %q: %q does not name %q", s.key, value, faults.list[0], part)
				}
			}
			if diff := cmp.Diff(Defaults(), settings, equal); diff != "" {
				t.Errorf("%s = %q changed the settings all the same:\n%s", s.key, value, diff)
			}
		}
	}
}

func TestUnknownNames(t *testing.T) {
	for _, c := range []struct {
		claim, env, flag, want string
	}{
		{"a mistyped variable", "LEADEVENTS_REDIS_ADR", "", "environment: LEADEVENTS_REDIS_ADR is no setting; did you mean LEADEVENTS_REDIS_ADDR?"},
		{"a variable like nothing we know", "LEADEVENTS_X", "", "environment: LEADEVENTS_X is no setting"},
		{"a group is no variable", "LEADEVENTS_CLICKHOUSE", "", "environment: LEADEVENTS_CLICKHOUSE is no setting; did you mean LEADEVENTS_CLICKHOUSE_TLS?"},
		{"a mistyped key", "", "ledger.horizont", "flag --set: ledger.horizont is no setting; did you mean ledger.horizon?"},
		{"keys are lower case", "", "Listen", "flag --set: Listen is no setting; did you mean listen?"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			clean(t)
			o := Options{Flags: map[string]string{}}
			if c.env != "" {
				t.Setenv(c.env, "1")
			}
			if c.flag != "" {
				o.Flags[c.flag] = "1"
			}
			_, err := Load(o)
			if err == nil || err.Error() != c.want {
				t.Errorf("Load: %v, want %q", err, c.want)
			}
		})
	}
}

func TestOtherVariablesOfOursAreAllowed(t *testing.T) {
	clean(t)
	t.Setenv("LEADEVENTS_CONFIG", "x")
	if _, err := Load(Options{OtherEnv: []string{"LEADEVENTS_CONFIG"}}); err != nil {
		t.Error(err)
	}
	if _, err := Load(Options{}); err == nil {
		t.Error("LEADEVENTS_CONFIG was accepted by somebody who does not know it")
	}
}

func TestSecretFiles(t *testing.T) {
	const key, secret = "clickhouse.password", "hunter2-hunter2"
	inFile := write(t, "password", secret+"\n")
	for _, c := range []struct {
		claim, yaml string
		env         map[string]string
		flags       map[string]string
		want, fault string
	}{
		{claim: "from a file named in the settings", yaml: "clickhouse: {password_file: " + inFile + "}", want: secret},
		{claim: "from a file named in the environment", env: map[string]string{"LEADEVENTS_CLICKHOUSE_PASSWORD_FILE": inFile}, want: secret},
		{claim: "a file in the environment beats a value in the settings", yaml: "clickhouse: {password: other}", env: map[string]string{"LEADEVENTS_CLICKHOUSE_PASSWORD_FILE": inFile}, want: secret},
		{claim: "a value in the environment beats a file in the settings", yaml: "clickhouse: {password_file: /nowhere}", env: map[string]string{"LEADEVENTS_CLICKHOUSE_PASSWORD": secret}, want: secret},
		{claim: "both at once are refused", yaml: "clickhouse: {password: x, password_file: " + inFile + "}", fault: "s.yaml:1: clickhouse.password and clickhouse.password_file are both set: give one of them"},
		{claim: "a file that is missing is refused", flags: map[string]string{key + "_file": "/nowhere"}, fault: "flag clickhouse.password_file: clickhouse.password_file: read the secret: open /nowhere: no such file or directory"},
		{claim: "a file with a space in the secret is refused, and not shown", flags: map[string]string{key + "_file": write(t, "p", "two words")}, fault: "flag clickhouse.password_file: clickhouse.password is a secret of 9 characters: it must have at most 256 visible ASCII characters, without spaces"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			clean(t)
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			o := Options{Flags: c.flags}
			if c.yaml != "" {
				o.File = write(t, "s.yaml", c.yaml)
			}
			loaded, err := Load(o)
			switch {
			case c.fault != "":
				if err == nil || err.Error() != c.fault {
					t.Errorf("Load: %v\nwant: %s", err, c.fault)
				}
			case err != nil:
				t.Error(err)
			case loaded.ClickHouse.Password.Reveal() != c.want:
				t.Errorf("password = %q, want %q", loaded.ClickHouse.Password.Reveal(), c.want)
			}
		})
	}
}

func TestSecretsNeverShow(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef-secret"
	clean(t)
	t.Setenv("LEADEVENTS_OPERATOR_TOKEN", secret)
	t.Setenv("LEADEVENTS_REDIS_PASSWORD", secret)
	loaded, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := loaded.Write(&out); err != nil {
		t.Fatal(err)
	}
	asJSON, _ := json.Marshal(loaded.Settings)
	asYAML, _ := yaml.Marshal(loaded.Settings)
	out.Write(asJSON)
	out.Write(asYAML)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&out, verb, loaded.Settings)
		fmt.Fprintf(&out, verb, loaded.OperatorToken)
		fmt.Fprintf(&out, verb, &loaded.OperatorToken)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "token", loaded.OperatorToken, "all", loaded.Settings)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "token", loaded.OperatorToken, "all", loaded.Settings)
	if strings.Contains(out.String(), secret) || strings.Contains(out.String(), fmt.Sprintf("%x", secret)) {
		t.Errorf("a secret shows:\n%s", &out)
	}
	if !strings.Contains(out.String(), "operator_token: ***") || !strings.Contains(out.String(), "# LEADEVENTS_OPERATOR_TOKEN") {
		t.Errorf("Write does not tell that the token is set, and where:\n%s", &out)
	}
	if loaded.OperatorToken.Reveal() != secret {
		t.Error("Reveal does not give the secret")
	}

	t.Setenv("LEADEVENTS_OPERATOR_TOKEN", "tooshort-secret")
	if _, err := Load(Options{}); err == nil || strings.Contains(err.Error(), "tooshort-secret") {
		t.Errorf("a wrong secret: %v", err)
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "1": 1, "17B": 17, "2KiB": 2048, "256MiB": 256 << 20, "3 GiB": 3 << 30} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "1MB", "1mib", "-1", "1.5GiB", "9999999999GiB", "1 2"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", text, got)
		}
	}
	for _, b := range []Bytes{0, 1, 1023, 1024, 1536, 192 << 20, 1 << 40} {
		if back, err := ParseBytes(b.String()); err != nil || back != b {
			t.Errorf("%d prints as %q and reads as %d, %v", int64(b), b, int64(back), err)
		}
	}
}

// The settings and the limits of an organization have the same names and bounds.
func TestLimitsAreThoseOfOrganizations(t *testing.T) {
	clean(t)
	for _, limit := range leadevents.AllLimits() {
		key := "limits." + limit.Setting()
		loaded, err := Load(Options{Flags: map[string]string{key: fmt.Sprint(limit.Most())}})
		if err != nil {
			t.Fatal(err)
		}
		want := leadevents.Limits{}
		want[limit] = limit.Most()
		if got := loaded.Limits.Defaults(); got != want {
			t.Errorf("%s is %v", key, got)
		}
		if _, err := Load(Options{Flags: map[string]string{key: fmt.Sprint(limit.Most() + 1)}}); err == nil {
			t.Errorf("%s may be more than %d", key, limit.Most())
		}
	}
}
