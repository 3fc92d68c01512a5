package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"leadevents"
	"leadevents/auth"
	"leadevents/clickhouse/embedded"
	"leadevents/internal/child"
	"leadevents/internal/redisserver"
)

// devFileName is the file that tells scripts where everything is (API.md 7).
const devFileName = "dev.json"

// devFile is its content, field by field as in the contract.
type devFile struct {
	URL            string           `json:"url"`
	OrganizationID leadevents.OrgID `json:"organizationId"`
	APIKey         string           `json:"apiKey"`
	OperatorToken  string           `json:"operatorToken"`
	ClickHouse     devClickHouse    `json:"clickhouse"`
	Redis          devRedis         `json:"redis"`
	PID            int              `json:"pid"`
	// TLSCertFile is what the server shows, where it serves HTTPS.
	TLSCertFile string `json:"tlsCertFile,omitempty"`
}

type devClickHouse struct {
	Native   string `json:"native"` // host:port
	HTTP     string `json:"http"`   // host:port
	Database string `json:"database"`
	User     string `json:"user"` // has all rights
	Password string `json:"password"`
	PID      int    `json:"pid"`
}

type devRedis struct {
	Addr     string `json:"addr"`
	Password string `json:"password"`
	PID      int    `json:"pid"`
}

// devRecord keeps dev.json equal to the children: it hears of every restart, and
// once published, each change replaces the file at once.
type devRecord struct {
	folder *child.Folder

	mu        sync.Mutex
	content   devFile
	published bool
}

// engine hears of a start of ClickHouse.
func (r *devRecord) engine(e embedded.Endpoint) error {
	return r.change(func(f *devFile) {
		f.ClickHouse.Native, f.ClickHouse.HTTP = e.Native, e.HTTP
		f.ClickHouse.User, f.ClickHouse.Password, f.ClickHouse.PID = e.User, e.Password, e.PID
	})
}

// redis hears of a start of Redis.
func (r *devRecord) redis(e redisserver.Endpoint) error {
	return r.change(func(f *devFile) { f.Redis = devRedis{e.Addr, e.Password, e.PID} })
}

// clickHouseAddr and the others are where the children are at the moment.
func (r *devRecord) clickHouseAddr() string     { return r.read().ClickHouse.Native }
func (r *devRecord) clickHouseHTTPAddr() string { return r.read().ClickHouse.HTTP }
func (r *devRecord) redisAddr() string          { return r.read().Redis.Addr }

func (r *devRecord) read() devFile {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.content
}

func (r *devRecord) change(edit func(*devFile)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	edit(&r.content)
	if !r.published {
		return nil
	}
	return r.write()
}

// publish writes the file for the first time: whoever reads it finds a server
// that answers.
func (r *devRecord) publish(edit func(*devFile)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	edit(&r.content)
	r.published = true
	return r.write()
}

func (r *devRecord) write() error {
	text, err := json.MarshalIndent(r.content, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", devFileName, err)
	}
	return r.folder.WriteFile(devFileName, append(text, '\n')) // 0600, replaced whole
}

// withdraw removes the file: without a server behind it, it would only mislead.
func (r *devRecord) withdraw() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published = false
	err := os.Remove(r.folder.Path(devFileName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the %s of an earlier run: %w", devFileName, err)
	}
	return nil
}

// runningDev is dev.json of the `leadevents dev` that runs on dir.
func runningDev(dir string) (f devFile, err error) {
	text, err := os.ReadFile(filepath.Join(dir, devFileName))
	if errors.Is(err, os.ErrNotExist) {
		return f, fmt.Errorf("no `leadevents dev` is ready on %s: there is no %s", dir, devFileName)
	}
	if err != nil {
		return f, fmt.Errorf("find the `leadevents dev` on %s: %w", dir, err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("read %s: %w", filepath.Join(dir, devFileName), err)
	}
	// A dev that was killed leaves its file behind.
	if f.PID <= 0 || errors.Is(syscall.Kill(f.PID, 0), syscall.ESRCH) {
		return f, fmt.Errorf("the `leadevents dev` on %s (process %d) does not run any more: start it again", dir, f.PID)
	}
	return f, nil
}

// DevServer is where a `leadevents dev` serves.
type DevServer struct {
	URL         string
	APIKey      auth.Secret // of its organization
	TLSCertFile string      // see TrustServer; empty without TLS
}

// RunningDev is the server of the `leadevents dev` that runs on dir.
func RunningDev(dir string) (DevServer, error) {
	f, err := runningDev(dir)
	return DevServer{f.URL, auth.NewSecret(f.APIKey), f.TLSCertFile}, err
}

// DevSettings is the settings, by key, that reach the stores of the `leadevents
// dev` that runs on dir.
func DevSettings(dir string) (map[string]string, error) {
	f, err := runningDev(dir)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"clickhouse.addrs":       f.ClickHouse.Native,
		"clickhouse.http_addrs":  f.ClickHouse.HTTP,
		"sql.user_pool":          strconv.Itoa(devAnalysts),
		"clickhouse.database":    f.ClickHouse.Database,
		"clickhouse.user":        f.ClickHouse.User,
		"clickhouse.password":    f.ClickHouse.Password,
		"clickhouse.tls":         "false",
		"clickhouse.tls_ca_file": "",
		"redis.addr":             f.Redis.Addr,
		"redis.password":         f.Redis.Password,
		"redis.user":             "",
		"redis.db":               "0",
		"redis.tls":              "false",
		"redis.tls_ca_file":      "",
		"operator_token":         f.OperatorToken,
		"master_key_file":        filepath.Join(dir, masterKeyFile),
	}, nil
}
