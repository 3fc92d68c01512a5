package embedded

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // the two templates
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"text/template"

	"leadevents/clickhouse/analyst"
)

//go:embed config.xml.tmpl
var configTemplate string

//go:embed users.xml.tmpl
var usersTemplate string

// AdminUser is the name of the user with all rights.
const AdminUser = "leadevents"

// User is a further SQL user. The engine reads its users once, when it starts:
// a pool of them can be made ahead, each granted a view database of its own.
type User struct {
	Name     string
	Password string
	Profile  string   // a name out of Config.Profiles; empty means the engine's defaults
	Grants   []string // "GRANT SELECT ON q_1.*"; a user without grants may do nothing
}

// Profile is a named set of settings for users.
type Profile struct {
	Name     string
	Settings map[string]string // "max_execution_time": "30"
	// Constant names those of Settings, or others, that its users cannot change.
	Constant []string
}

// configValues is what both templates may use.
type configValues struct {
	UsersPath, DataPath     string
	MemoryLimit             uint64 // bytes, 0 for the ratio alone
	Pool, Slots             int    // merge threads, and what may queue on them
	HalfSlots, QuarterSlots int
	Fsync                   bool
	QueryLogDays            int
	AdminName, AdminSHA256  string
	Users                   []userValues
	Profiles                []Profile
}

type userValues struct {
	User
	SHA256 string
}

// render writes both files' contents.
func render(cfg Config, usersPath, dataPath, password string) (config, users []byte, err error) {
	if err := checkUsers(cfg); err != nil {
		return nil, nil, err
	}
	// Merges mostly wait for the disk, so four threads even on two cores, and
	// two merges or mutations may queue on each (the engine's own ratio). The
	// engine's thresholds are made for 32 slots and refuse to start with fewer.
	pool := min(max(runtime.NumCPU(), 4), 16)
	slots := 2 * pool
	cfg.Profiles, cfg.Users = withAnalysts(cfg, password)
	values := configValues{
		UsersPath: usersPath, DataPath: dataPath,
		MemoryLimit: cfg.MemoryLimitBytes,
		Pool:        pool, Slots: slots, HalfSlots: slots / 2, QuarterSlots: slots / 4,
		Fsync: cfg.Fsync, QueryLogDays: cfg.QueryLogDays,
		AdminName: AdminUser, AdminSHA256: digest(password),
		Profiles: cfg.Profiles,
	}
	for _, user := range cfg.Users {
		values.Users = append(values.Users, userValues{User: user, SHA256: digest(user.Password)})
	}
	if config, err = execute("config.xml", configTemplate, values); err != nil {
		return nil, nil, err
	}
	if users, err = execute("users.xml", usersTemplate, values); err != nil {
		return nil, nil, err
	}
	return config, users, nil
}

// withAnalysts adds the users that organizations' own SQL runs as, see
// Config.Analysts.
func withAnalysts(cfg Config, password string) ([]Profile, []User) {
	profiles, users := slices.Clone(cfg.Profiles), slices.Clone(cfg.Users)
	if cfg.Analysts.Users == 0 {
		return profiles, users
	}
	profile := Profile{Name: analyst.PoolProfile, Settings: map[string]string{}}
	for _, s := range cfg.Analysts.Limits.Settings() {
		profile.Settings[s.Name] = s.Value
	}
	for i := range cfg.Analysts.Users {
		a := analyst.Pooled(cmp.Or(cfg.Analysts.Password, password), i)
		users = append(users, User{Name: a.User, Password: a.Password, Profile: profile.Name, Grants: []string{"GRANT SELECT ON " + a.Database + ".*"}})
	}
	return append(profiles, profile), users
}

func digest(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

func execute(name, text string, values configValues) ([]byte, error) {
	tmpl, err := template.New(name).Funcs(template.FuncMap{"xml": escape}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read the template of %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, values); err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return out.Bytes(), nil
}

func escape(s string) (string, error) {
	var out strings.Builder
	err := xml.EscapeText(&out, []byte(s))
	return out.String(), err
}

// names become XML elements: letters, digits and underscores only.
var nameShape = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func checkUsers(cfg Config) error {
	profiles := map[string]bool{"": true}
	for _, p := range cfg.Profiles {
		if !nameShape.MatchString(p.Name) || p.Name == "default" || p.Name == "bootstrap" {
			return fmt.Errorf("the engine's profile name %q is not a free name of letters, digits and underscores", p.Name)
		}
		for name := range p.Settings {
			if !nameShape.MatchString(name) {
				return fmt.Errorf("the setting %q of the engine's profile %s is not a name of letters, digits and underscores", name, p.Name)
			}
		}
		for _, name := range p.Constant {
			if !nameShape.MatchString(name) {
				return fmt.Errorf("the setting %q of the engine's profile %s is not a name of letters, digits and underscores", name, p.Name)
			}
		}
		profiles[p.Name] = true
	}
	names := map[string]bool{AdminUser: true, "default": true}
	for _, u := range cfg.Users {
		if !nameShape.MatchString(u.Name) || names[u.Name] {
			return fmt.Errorf("the engine's user name %q is taken or not of letters, digits and underscores", u.Name)
		}
		names[u.Name] = true
		if u.Password == "" {
			return fmt.Errorf("the engine's user %s has no password", u.Name)
		}
		if !profiles[u.Profile] {
			return fmt.Errorf("the engine's user %s has the profile %q, which is not in Profiles", u.Name, u.Profile)
		}
	}
	for _, database := range cfg.Databases {
		if !nameShape.MatchString(database) {
			return fmt.Errorf("the database name %q is not of letters, digits and underscores", database)
		}
	}
	return nil
}
