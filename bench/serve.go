package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"leadevents"
	"leadevents/ingest/ledger"
	"leadevents/internal/child"
)

// benchDatabase is that of a server on stores of the benchmark's own.
const benchDatabase = "leadevents"

// serving is how the binary's `serve` runs against stores of the benchmark's own.
type serving struct {
	binary            string
	stores            *stores
	clickHouse, redis string // where it reaches them
	database          string // made if it is not there: benchDatabase
	org               leadevents.OrgID
	patience          time.Duration // until it is ready and its ledger trusted
}

// startServing runs the binary against s, which it reaches at the given addresses, in
// an empty database.
func startServing(ctx context.Context, binary string, s *stores, clickHouse, redis string, settings ...string) (*server, error) {
	outside, err := s.connect("default")
	if err != nil {
		return nil, err
	}
	defer outside.Close()
	if err := createDatabase(ctx, outside, benchDatabase); err != nil {
		return nil, err
	}
	return serving{binary, s, clickHouse, redis, benchDatabase, 1, startLimit}.start(ctx, settings...)
}

// start runs it as in production: what becomes of the stores is not its business.
func (v serving) start(ctx context.Context, settings ...string) (srv *server, err error) {
	srv = &server{OrganizationID: v.org}
	if srv.folder, err = os.MkdirTemp("", "leadevents-bench-"); err != nil {
		return nil, err
	}
	address, err := freeAddress(srv.folder)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(srv.folder))
	}
	e, r := v.stores.engine.Endpoint(), v.stores.redis.Endpoint()
	srv.URL = "http://" + address
	srv.ClickHouse.Native, srv.ClickHouse.Database, srv.ClickHouse.User, srv.ClickHouse.Password = e.Native, v.database, e.User, e.Password
	srv.ClickHouse.HTTP = e.HTTP
	srv.Redis.Addr, srv.Redis.Password = r.Addr, r.Password
	environment := append(os.Environ(), // not flags: there are passwords among them
		"LEADEVENTS_CLICKHOUSE_ADDRS="+v.clickHouse, "LEADEVENTS_CLICKHOUSE_DATABASE="+v.database,
		"LEADEVENTS_CLICKHOUSE_USER="+e.User, "LEADEVENTS_CLICKHOUSE_PASSWORD="+e.Password,
		"LEADEVENTS_CLICKHOUSE_HTTP_ADDRS="+e.HTTP, fmt.Sprintf("LEADEVENTS_SQL_USER_POOL=%d", benchAnalysts),
		"LEADEVENTS_REDIS_ADDR="+v.redis, "LEADEVENTS_REDIS_PASSWORD="+r.Password)

	create := exec.CommandContext(ctx, v.binary, "org", "create", "bench", "--id", srv.OrganizationID.String())
	create.Env = environment
	key, err := create.Output()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make an organization with %s (make build makes it): %w", v.binary, err), os.RemoveAll(srv.folder))
	}
	srv.APIKey = strings.TrimSpace(string(key))

	serve := exec.Command(v.binary, append([]string{"serve", "--listen", address, "--log-level", "warn"}, setFlags(settings)...)...)
	serve.Env = environment
	if err := srv.launch(serve); err != nil {
		return nil, err
	}
	srv.connect()
	err = srv.await(ctx, v.patience, func() bool {
		status, ready, err := srv.ledger()
		return err == nil && ready && status.State == ledger.Trusted
	})
	if err != nil {
		return nil, errors.Join(err, srv.stop())
	}
	return srv, nil
}

// freeAddress is one on this machine that was free a moment ago.
func freeAddress(dir string) (address string, err error) {
	folder, err := child.OpenFolder(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	ports, err := folder.Ports("port.json", 1)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0]), nil
}
