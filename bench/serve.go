package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"leadevents/ingest/ledger"
	"leadevents/internal/child"
)

// benchDatabase is that of a server on stores of the benchmark's own.
const benchDatabase = "leadevents"

// startServing runs the binary's `serve` against s, which it reaches at the given
// addresses, as in production: what becomes of the stores is not its business.
func startServing(ctx context.Context, binary string, s *stores, clickHouse, redis string, settings ...string) (srv *server, err error) {
	outside, err := s.connect("default")
	if err != nil {
		return nil, err
	}
	defer outside.Close()
	if err := createDatabase(ctx, outside, benchDatabase); err != nil {
		return nil, err
	}
	srv = &server{OrganizationID: 1}
	if srv.folder, err = os.MkdirTemp("", "leadevents-bench-"); err != nil {
		return nil, err
	}
	address, err := freeAddress(srv.folder)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(srv.folder))
	}
	e, r := s.engine.Endpoint(), s.redis.Endpoint()
	srv.URL = "http://" + address
	srv.ClickHouse.Native, srv.ClickHouse.Database, srv.ClickHouse.User, srv.ClickHouse.Password = e.Native, benchDatabase, e.User, e.Password
	srv.Redis.Addr, srv.Redis.Password = r.Addr, r.Password
	environment := append(os.Environ(), // not flags: there are passwords among them
		"LEADEVENTS_CLICKHOUSE_ADDRS="+clickHouse, "LEADEVENTS_CLICKHOUSE_DATABASE="+benchDatabase,
		"LEADEVENTS_CLICKHOUSE_USER="+e.User, "LEADEVENTS_CLICKHOUSE_PASSWORD="+e.Password,
		"LEADEVENTS_REDIS_ADDR="+redis, "LEADEVENTS_REDIS_PASSWORD="+r.Password)

	create := exec.CommandContext(ctx, binary, "org", "create", "bench", "--id", srv.OrganizationID.String())
	create.Env = environment
	key, err := create.Output()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make an organization with %s (make build makes it): %w", binary, err), os.RemoveAll(srv.folder))
	}
	srv.APIKey = strings.TrimSpace(string(key))

	serve := exec.Command(binary, append([]string{"serve", "--listen", address, "--log-level", "warn"}, setFlags(settings)...)...)
	serve.Env = environment
	if err := srv.launch(serve); err != nil {
		return nil, err
	}
	srv.connect()
	err = srv.await(ctx, func() bool {
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
