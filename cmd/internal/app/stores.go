package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents/auth"
	"leadevents/clickhouse"
	"leadevents/clickhouse/schema"
	"leadevents/configs"
	"leadevents/ingest/ledger"
	"leadevents/internal/limits"
	"leadevents/internal/notify"
)

// dialers replace the addresses of the settings: dev's stores may move to other
// ports when they are started again, and every new connection must find them.
// The zero value dials what the settings say.
type dialers struct {
	clickHouse, clickHouseHTTP, redis func() string // the address of the moment
}

// dialer connects to wherever address points at that moment; nil without one.
func dialer(address func() string, timeout time.Duration) func(ctx context.Context) (net.Conn, error) {
	if address == nil {
		return nil
	}
	d := net.Dialer{Timeout: timeout}
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", address()) }
}

// clickHouseConfig is how the server talks to ClickHouse.
func clickHouseConfig(s configs.Settings, d dialers) (clickhouse.Config, error) {
	encryption, err := tlsConfig(s.ClickHouse.TLS, s.ClickHouse.TLSCAFile)
	if err != nil {
		return clickhouse.Config{}, fmt.Errorf("read clickhouse.tls_ca_file: %w", err)
	}
	cfg := clickhouse.Config{
		Addrs:       s.ClickHouse.Addrs,
		Database:    s.ClickHouse.Database,
		User:        s.ClickHouse.User,
		Password:    s.ClickHouse.Password.Reveal(),
		TLS:         encryption,
		DialTimeout: s.ClickHouse.DialTimeout,
		ReadTimeout: s.ClickHouse.QueryTimeout,
		MaxConns:    s.ClickHouse.MaxConns,
		Compress:    s.ClickHouse.Compress,
		Evaluation: clickhouse.EvaluationConfig{
			AtOnce: s.Filters.AtOnce, Threads: s.Filters.Threads, Memory: uint64(s.Filters.Memory),
			SliceLeads: s.Filters.SliceLeads, Nice: s.Filters.Nice,
			PreviewTimeout: s.Filters.PreviewTimeout, MaterializeTimeout: s.Filters.MaterializeTimeout,
		},
		Events: clickhouse.EventsConfig{AtOnce: s.Events.AtOnce, Timeout: s.Events.Timeout},
		Reports: clickhouse.ReportConfig{
			AtOnce: s.Reports.AtOnce, Threads: s.Reports.Threads, Memory: uint64(s.Reports.Memory), Timeout: s.Reports.Timeout,
		},
	}
	cfg.Analysts = clickhouse.AnalystConfig{HTTPAddrs: s.ClickHouse.HTTPAddrs, Pool: s.SQL.UserPool, Limits: s.SQL.Limits()}
	if dial := dialer(d.clickHouseHTTP, s.ClickHouse.DialTimeout); dial != nil {
		cfg.Analysts.Dial = func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }
	}
	if dial := dialer(d.clickHouse, s.ClickHouse.DialTimeout); dial != nil {
		cfg.Dial = func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }
	}
	return cfg, nil
}

// ledgerConfig is how the server talks to Redis, and for how long it remembers.
func ledgerConfig(s configs.Settings, d dialers, log *slog.Logger, reg prometheus.Registerer) (ledger.Config, error) {
	encryption, err := tlsConfig(s.Redis.TLS, s.Redis.TLSCAFile)
	if err != nil {
		return ledger.Config{}, fmt.Errorf("read redis.tls_ca_file: %w", err)
	}
	cfg := ledger.Config{
		Addr:           s.Redis.Addr,
		Username:       s.Redis.User,
		Password:       s.Redis.Password.Reveal(),
		DB:             s.Redis.DB,
		TLS:            encryption,
		Prefix:         s.Redis.KeyPrefix + ":",
		PoolSize:       s.Redis.PoolSize,
		Timeout:        s.Redis.Timeout,
		Horizon:        s.Ledger.Horizon,
		ShortHorizon:   s.Ledger.ShortHorizon,
		Deadline:       s.Ledger.Deadline,
		Margin:         s.Ledger.Margin,
		SlotWidth:      uint(s.Ledger.SlotWidth),
		SlotBits:       uint(s.Ledger.SlotBits),
		ChunkKeys:      s.Ledger.ChunkKeys,
		Connections:    s.Ledger.Connections,
		HeartbeatEvery: s.Ledger.Heartbeat,
		RebuildRate:    s.Ledger.RebuildRate,
		Logger:         log,
		Metrics:        reg,
	}
	if dial := dialer(d.redis, s.Redis.DialTimeout); dial != nil {
		cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	}
	return cfg, nil
}

// openLimiter counts what organizations do in the same Redis, over connections of its
// own.
func openLimiter(s configs.Settings, d dialers, log *slog.Logger, reg prometheus.Registerer) (*limits.Limiter, error) {
	encryption, err := tlsConfig(s.Redis.TLS, s.Redis.TLSCAFile)
	if err != nil {
		return nil, fmt.Errorf("read redis.tls_ca_file: %w", err)
	}
	cfg := limits.Config{
		Addr:     s.Redis.Addr,
		Username: s.Redis.User,
		Password: s.Redis.Password.Reveal(),
		DB:       s.Redis.DB,
		TLS:      encryption,
		Prefix:   s.Redis.KeyPrefix + ":",
		Timeout:  s.Limits.Timeout,
		Logger:   log,
		Metrics:  reg,
	}
	if dial := dialer(d.redis, s.Limits.Timeout); dial != nil {
		cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	}
	return limits.New(cfg)
}

// tlsConfig checks servers against the system's authorities, or against those of
// a file; nil without encryption.
func tlsConfig(on bool, caFile string) (*tls.Config, error) {
	if !on {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read the authorities: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", caFile)
		}
	}
	return cfg, nil
}

// openClickHouse opens the pool on the database of the settings.
func openClickHouse(s configs.Settings, d dialers) (*clickhouse.DB, error) {
	cfg, err := clickHouseConfig(s, d)
	if err != nil {
		return nil, err
	}
	return clickhouse.Open(cfg)
}

// openAnyDatabase opens a small pool on the database that every server has: ours
// may not exist yet, and then even connecting to it fails.
func openAnyDatabase(s configs.Settings, d dialers) (*clickhouse.DB, error) {
	s.ClickHouse.Database, s.ClickHouse.MaxConns = "default", 2
	return openClickHouse(s, d)
}

// Migrate brings the database of the settings to this binary's tables.
func Migrate(ctx context.Context, s configs.Settings, log *slog.Logger) error {
	return migrate(ctx, s, dialers{}, log)
}

func migrate(ctx context.Context, s configs.Settings, d dialers, log *slog.Logger) (err error) {
	db, err := openAnyDatabase(s, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return schema.Migrate(ctx, db.Conn(), s.ClickHouse.Database, schema.WithLogger(log))
}

// keyring is the master keys of the settings; without one hmac mode is refused.
func keyring(s configs.Settings) (auth.Keyring, error) {
	if s.MasterKey.IsZero() {
		return auth.Keyring{}, nil
	}
	current, err := auth.ParseMasterKey(s.MasterKey)
	if err != nil {
		return auth.Keyring{}, fmt.Errorf("read master_key: %w", err)
	}
	var others []auth.MasterKey
	for _, other := range []struct {
		name string
		text auth.Secret
	}{{"old_master_key", s.OldMasterKey}, {"next_master_key", s.NextMasterKey}} {
		if other.text.IsZero() {
			continue
		}
		key, err := auth.ParseMasterKey(other.text)
		if err != nil {
			return auth.Keyring{}, fmt.Errorf("read %s: %w", other.name, err)
		}
		others = append(others, key)
	}
	return auth.NewKeyring(current, others...), nil
}

// credentialConns: the directory has a pool of its own, so that "has anything
// changed?" never waits behind inserts. One connection asks, one loads, and two
// are for administration.
const credentialConns = 4

// Credentials is the directory of organizations and keys on its own connections,
// and where their changes are announced.
type Credentials struct {
	*auth.Directory
	db            *clickhouse.DB
	announcements *notify.Channel
	// heard is who else hears of changes: what is refused on the ground of settings is
	// followed as credentials are.
	heard []func()
}

// Close closes the connections.
func (c *Credentials) Close() error { return errors.Join(c.announcements.Close(), c.db.Close()) }

// Follow hears of changes by others, until ctx ends; the directory's Run finds them
// without it too, only later.
func (c *Credentials) Follow(ctx context.Context) error {
	return c.announcements.Follow(ctx, func() {
		c.Notify()
		for _, hear := range c.heard {
			hear()
		}
	})
}

// notifyConfig is how changes of credentials are announced.
func notifyConfig(s configs.Settings, d dialers, log *slog.Logger, reg prometheus.Registerer) (notify.Config, error) {
	encryption, err := tlsConfig(s.Redis.TLS, s.Redis.TLSCAFile)
	if err != nil {
		return notify.Config{}, fmt.Errorf("read redis.tls_ca_file: %w", err)
	}
	cfg := notify.Config{
		Addr: s.Redis.Addr, Username: s.Redis.User, Password: s.Redis.Password.Reveal(), TLS: encryption,
		Channel: s.Redis.KeyPrefix + ":credentials",
		Logger:  log, Metrics: reg,
	}
	if dial := dialer(d.redis, s.Redis.DialTimeout); dial != nil {
		cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	}
	return cfg, nil
}

// OpenCredentials is the directory on the stores of the settings, for commands
// that administer it. Close it.
func OpenCredentials(s configs.Settings, log *slog.Logger) (*Credentials, error) {
	return openCredentials(s, dialers{}, nil, log, prometheus.NewRegistry())
}

func openCredentials(s configs.Settings, d dialers, limiter *limits.Limiter, log *slog.Logger, reg prometheus.Registerer) (*Credentials, error) {
	keys, err := keyring(s)
	if err != nil {
		return nil, err
	}
	cfg, err := notifyConfig(s, d, log, reg)
	if err != nil {
		return nil, err
	}
	announcements, err := notify.New(cfg)
	if err != nil {
		return nil, err
	}
	s.ClickHouse.MaxConns = credentialConns
	db, err := openClickHouse(s, d)
	if err != nil {
		return nil, errors.Join(err, announcements.Close())
	}
	directory, err := auth.New(auth.Config{
		RefreshInterval: s.Auth.RefreshInterval,
		MaxStaleness:    s.Auth.MaxStaleness,
		MaxWait:         s.Auth.MaxWait,
		FlushInterval:   s.Auth.FlushInterval,
		UnusedAfter:     s.Auth.UnusedAfter,
		MasterKeys:      keys,
		Announce:        announcements.Announce,
		DefaultLimits:   s.Limits.Defaults(),
		Limiter:         limiter,
	}, db.Credentials(), time.Now, log, reg)
	if err != nil {
		return nil, errors.Join(err, announcements.Close(), db.Close())
	}
	return &Credentials{Directory: directory, db: db, announcements: announcements}, nil
}
