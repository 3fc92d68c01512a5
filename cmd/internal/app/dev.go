package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"leadevents"
	"leadevents/auth"
	"leadevents/clickhouse/embedded"
	"leadevents/configs"
	"leadevents/internal/child"
	"leadevents/internal/httpserver"
	"leadevents/internal/redisserver"
)

// The files in dev's folder that are not a child's.
const (
	masterKeyFile     = "master-key"
	oldMasterKeyFile  = "master-key.old" // while what is under it is encrypted anew
	operatorTokenFile = "operator-token"
	apiKeyFile        = "api-key"
)

// devOrg is the organization that dev makes.
const devOrg leadevents.OrgID = 1

// devAnalysts is how many organizations can have SQL in a dev: its engine makes no
// users later. Each is 500 bytes of a file that is read at the start.
const devAnalysts = 200

// DevOptions is what dev needs to know besides the settings.
type DevOptions struct {
	DataDir string // made if need be; one living dev at a time
	Out     io.Writer
	Log     *slog.Logger
	// RotateMasterKey makes another master key for the folder.
	RotateMasterKey bool
}

// dev is what `leadevents dev` runs.
type dev struct {
	DevOptions
	settings configs.Settings
	folder   *child.Folder
	record   *devRecord
	parts    *group
}

// Dev runs everything on this machine: ClickHouse and Redis as children with
// their files in the folder, and the server in front of them, until ctx ends or
// a part fails. clickhouse.* and redis.* of the settings that say where the
// stores are do not count.
func Dev(ctx context.Context, s configs.Settings, o DevOptions) (err error) {
	d := &dev{DevOptions: o, settings: s, parts: newGroup(o.Log)}
	defer func() { err = errors.Join(err, d.parts.stop()) }()

	// The folder first, given free last: while it is ours, nobody else's children
	// are on it, and those that a killed dev left behind may be ended.
	if d.folder, err = child.OpenFolder(o.DataDir); err != nil {
		return err
	}
	d.parts.addCloser("folder", d.folder.Close)
	d.record = &devRecord{folder: d.folder}
	if err := d.record.withdraw(); err != nil {
		return err
	}
	if err := d.secrets(); err != nil {
		return err
	}
	// The stores before everything that uses them, and stopped after it.
	if err := d.startEngine(ctx); err != nil {
		return err
	}
	if err := d.startRedis(ctx); err != nil {
		return err
	}
	to := dialers{clickHouse: d.record.clickHouseAddr, clickHouseHTTP: d.record.clickHouseHTTPAddr, redis: d.record.redisAddr}
	if err := migrate(ctx, d.settings, to, o.Log); err != nil {
		return err
	}
	srv, err := build(ctx, d.parts, d.settings, to, o.Log)
	if err != nil {
		return err
	}
	if err := d.finishRotation(ctx, srv.credentials.Directory); err != nil {
		return errors.Join(err, srv.listener.Close())
	}
	key, err := d.firstKey(ctx, srv.credentials.Directory)
	if err != nil {
		return errors.Join(err, srv.listener.Close())
	}
	srv.serve(d.parts, d.settings)

	certFile, err := d.certFile()
	if err != nil {
		return err
	}
	// Only now: dev.json means "ready". Withdrawn as the first step of the stop.
	err = d.record.publish(func(f *devFile) {
		f.URL, f.OrganizationID, f.APIKey = srv.url(d.settings), devOrg, key.Reveal()
		f.OperatorToken = d.settings.OperatorToken.Reveal()
		f.TLSCertFile = certFile
		f.ClickHouse.Database, f.PID = d.settings.ClickHouse.Database, os.Getpid()
	})
	if err != nil {
		return err
	}
	d.parts.addCloser(devFileName, d.record.withdraw)
	if err := d.greet(); err != nil {
		return err
	}
	return d.parts.wait(ctx)
}

// secrets fills in what the settings leave empty; made at the first start, kept
// in the folder.
func (d *dev) secrets() error {
	s := &d.settings
	if s.OperatorToken.IsZero() {
		token, err := d.folder.Secret(operatorTokenFile)
		if err != nil {
			return err
		}
		s.OperatorToken = auth.NewSecret(token)
	}
	if d.RotateMasterKey {
		if err := d.beginRotation(); err != nil {
			return err
		}
	}
	if err := d.masterKey(); err != nil {
		return err
	}
	return d.oldMasterKey()
}

// masterKey makes the folder's master key one that this dev decrypts with, since
// commands with --data-dir encrypt under it: it is made at the first start, or is
// then that of the settings. Where the settings bring another one later, the
// folder's goes on as the old one.
func (d *dev) masterKey() error {
	s := &d.settings
	kept, err := d.keptKey(masterKeyFile)
	if err != nil {
		return err
	}
	if kept.IsZero() {
		if s.MasterKey.IsZero() {
			s.MasterKey = auth.NewMasterKey()
		}
		return d.folder.WriteFile(masterKeyFile, []byte(s.MasterKey.Reveal()+"\n"))
	}
	key, err := auth.ParseMasterKey(kept)
	if err != nil {
		return err
	}
	if s.MasterKey.IsZero() {
		s.MasterKey = kept
		return nil
	}
	ring, err := keyring(*s)
	switch {
	case err != nil:
		return err
	case ring.Has(key):
		return nil
	case s.OldMasterKey.IsZero():
		s.OldMasterKey = kept
		return nil
	}
	return fmt.Errorf("the data folder has a master key of its own, which is neither master_key nor old_master_key: take both out of the settings, or remove %s, which makes the signing keys under it unreadable", d.folder.Path(masterKeyFile))
}

// certFile is where commands in other folders find what the server shows.
func (d *dev) certFile() (string, error) {
	if d.settings.HTTP.TLSCertFile == "" {
		return "", nil
	}
	path, err := filepath.Abs(d.settings.HTTP.TLSCertFile)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", httpserver.SettingTLSCertFile, err)
	}
	return path, nil
}

func (d *dev) startEngine(ctx context.Context) error {
	engine, err := embedded.Start(ctx, embedded.Config{
		DataDir:   d.folder.Path("clickhouse"),
		Logger:    d.Log,
		Databases: []string{d.settings.ClickHouse.Database},
		Fsync:     d.settings.ClickHouse.Fsync,
		Analysts:  embedded.Analysts{Users: devAnalysts, Limits: d.settings.SQL.Limits()},
		OnChange:  func(e embedded.Endpoint) { d.changed(d.record.engine(e)) },
	})
	if err != nil {
		return err
	}
	d.parts.add("clickhouse engine", stopEngine, engine.Stop)
	e := engine.Endpoint()
	s := &d.settings.ClickHouse
	s.Addrs, s.HTTPAddrs, s.User, s.Password, s.TLS = []string{e.Native}, []string{e.HTTP}, e.User, auth.NewSecret(e.Password), false
	d.settings.SQL.UserPool = devAnalysts
	return nil
}

func (d *dev) startRedis(ctx context.Context) error {
	redis, err := redisserver.Start(ctx, redisserver.Config{
		DataDir:  d.folder.Path("redis"),
		Logger:   d.Log,
		OnChange: func(e redisserver.Endpoint) { d.changed(d.record.redis(e)) },
	})
	if err != nil {
		return err
	}
	d.parts.add("redis-server", stopRedis, redis.Stop)
	e := redis.Endpoint()
	s := &d.settings.Redis
	s.Addr, s.User, s.Password, s.DB, s.TLS = e.Addr, "", auth.NewSecret(e.Password), 0, false
	return nil
}

// changed is told whether dev.json followed a child. A file that cannot be
// written (the disk is full) must not stop the server.
func (d *dev) changed(err error) {
	if err != nil {
		d.Log.Error("dev.json does not show the latest ports and pids", "error", err)
	}
}

// firstKey is the key of organization 1 with every scope. It is kept in the
// folder, since the store only has its hash; a start after a crash between the
// two, or after somebody revoked it, makes another.
func (d *dev) firstKey(ctx context.Context, directory *auth.Directory) (auth.Secret, error) {
	if err := directory.Refresh(ctx); err != nil {
		return auth.Secret{}, err
	}
	text, err := os.ReadFile(d.folder.Path(apiKeyFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return auth.Secret{}, fmt.Errorf("read the API key: %w", err)
	}
	if kept := auth.NewSecret(strings.TrimSpace(string(text))); err == nil {
		p, err := directory.Key(ctx, "Bearer "+kept.Reveal(), auth.Admin)
		if err == nil && p.Org == devOrg {
			return kept, nil
		}
		d.Log.Warn("the API key in the data folder is not accepted any more; making another", "reason", err)
	}
	key, err := d.makeKey(ctx, directory)
	if err != nil {
		return auth.Secret{}, err
	}
	return key, d.folder.WriteFile(apiKeyFile, []byte(key.Reveal()+"\n"))
}

func (d *dev) makeKey(ctx context.Context, directory *auth.Directory) (auth.Secret, error) {
	created, err := directory.CreateOrganization(ctx, "dev", devOrg)
	if err == nil {
		return created.FirstKey.Key, nil
	}
	if leadevents.KindOf(err) != leadevents.Conflict { // Conflict: it exists already
		return auth.Secret{}, fmt.Errorf("make organization %d: %w", devOrg, err)
	}
	key, err := directory.CreateKey(ctx, devOrg, auth.KeyRequest{Name: "dev", Scopes: auth.AllScopes})
	if err != nil {
		return auth.Secret{}, fmt.Errorf("make a key for organization %d: %w", devOrg, err)
	}
	return key.Key, nil
}

// greet prints how to send a first event, ready to paste.
func (d *dev) greet() error {
	f := d.record.read()
	curl := "curl -sS"
	if f.TLSCertFile != "" {
		curl += " --cacert '" + f.TLSCertFile + "'"
	}
	occurred := leadevents.MillisOf(time.Now().Add(-time.Minute))
	_, err := fmt.Fprintf(d.Out, `
leadevents is ready at %s
  data        %s (connection details of all three in %s)
  ClickHouse  %s (native), %s (HTTP)
  Redis       %s

Send a first event:

  %s %s/api/v1/webhooks/lead-events \
    -H 'Authorization: Bearer %s' \
    -H 'Content-Type: application/json' \
    -d '{"organizationId": %d, "eventType": "mastery_purchase", "events": [{"phoneE164": "+15551234567", "occurredAt": "%s", "metadata": {"orderId": "ord_9F2", "amountUsd": 297}}]}'

It answers "inserted": 1. Send it again: it answers "duplicates": 1. Look at it:

  %s events --data-dir '%s'

Ctrl-C stops all three.
`, f.URL, d.folder.Path(), devFileName, f.ClickHouse.Native, f.ClickHouse.HTTP, f.Redis.Addr, curl, f.URL, f.APIKey, f.OrganizationID, occurred, os.Args[0], d.folder.Path())
	if err != nil {
		return fmt.Errorf("print the first steps: %w", err)
	}
	return nil
}
