package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents/clickhouse/embedded"
	"leadevents/clickhouse/schema"
	"leadevents/configs"
	"leadevents/internal/redisserver"
)

// benchAnalysts are users for organizations' own SQL: one is enough.
const benchAnalysts = 1

// stopLimit bounds the stop of a store; its files are thrown away.
const stopLimit = 30 * time.Second

// stores are a ClickHouse and a Redis of a benchmark's own.
type stores struct {
	dir         string
	kept        bool // dir stays
	config      embedded.Config
	redisConfig redisserver.Config
	engine      *embedded.Server
	redis       *redisserver.Server
}

// startStores starts both in a temporary folder; queryLog keeps system.query_log.
func startStores(ctx context.Context, r *report, queryLog bool) (*stores, error) {
	dir, err := os.MkdirTemp("", "leadevents-bench-")
	if err != nil {
		return nil, err
	}
	return (&stores{dir: dir}).start(ctx, r, queryLog)
}

// startStoresIn starts both in a folder that stays, with what they have in it.
func startStoresIn(ctx context.Context, r *report, dir string, queryLog bool) (*stores, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return (&stores{dir: dir, kept: true}).start(ctx, r, queryLog)
}

func (s *stores) start(ctx context.Context, r *report, queryLog bool) (_ *stores, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	s.config.DataDir, s.redisConfig.DataDir = filepath.Join(s.dir, "clickhouse"), filepath.Join(s.dir, "redis")
	if queryLog {
		s.config.QueryLogDays = 1
	}
	s.config.Analysts = embedded.Analysts{Users: benchAnalysts, Limits: configs.Defaults().SQL.Limits()}
	if s.engine, err = embedded.Start(ctx, s.config); err != nil {
		return s, err
	}
	if s.redis, err = redisserver.Start(ctx, s.redisConfig); err != nil {
		return s, err
	}
	conn, err := s.connect("default")
	if err != nil {
		return s, err
	}
	defer conn.Close()
	return s, errors.Join(noteClickHouse(ctx, r, conn), noteRedis(ctx, r, s.redis.Endpoint().Addr, s.redis.Endpoint().Password))
}

func (s *stores) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	var errs []error
	if s.redis != nil {
		errs = append(errs, s.redis.Stop(ctx))
	}
	if s.engine != nil {
		errs = append(errs, s.engine.Stop(ctx))
	}
	if !s.kept {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// connect opens a pool on one database of the engine.
func (s *stores) connect(database string) (driver.Conn, error) {
	e := s.engine.Endpoint()
	return connectClickHouse(e.Native, e.User, e.Password, database)
}

func connectClickHouse(address, user, password, database string) (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{
		Addr:        []string{address},
		Auth:        clickhouse.Auth{Database: database, Username: user, Password: password},
		ReadTimeout: time.Hour,
		Settings:    clickhouse.Settings{"async_insert": 0},
	})
}

// createDatabase makes a database with our tables, empty.
func createDatabase(ctx context.Context, conn driver.Conn, name string) error {
	if err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return schema.Migrate(ctx, conn, name)
}

// waitForMerges waits until nothing has been merging for a second.
func waitForMerges(ctx context.Context, conn driver.Conn) error {
	return untilQuiet(ctx, 5, 200*time.Millisecond, func() (bool, error) { return merging(ctx, conn) })
}

func merging(ctx context.Context, conn driver.Conn) (bool, error) {
	var merges uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM system.merges").Scan(&merges); err != nil {
		return false, fmt.Errorf("wait for merges: %w", err)
	}
	return merges > 0, nil
}

// untilQuiet waits until so many looks in a row have found nothing busy.
func untilQuiet(ctx context.Context, looks int, pause time.Duration, busy func() (bool, error)) error {
	for quiet := 0; quiet < looks; quiet++ {
		found, err := busy()
		if err != nil {
			return err
		}
		if found {
			quiet = -1
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until the stores have settled: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
	return nil
}

func noteClickHouse(ctx context.Context, r *report, conn driver.Conn) error {
	var version string
	if err := conn.QueryRow(ctx, "SELECT version()").Scan(&version); err != nil {
		return fmt.Errorf("ask ClickHouse for its version: %w", err)
	}
	r.version("ClickHouse " + version)
	return nil
}

// exchange sends a request to a store, or to what a server has beside its API, and reads the
// body of a 200; what begins the errors.
func exchange(client *http.Client, request *http.Request, what string, read func(io.Reader) error) error {
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return fmt.Errorf("%s: it answered %d: %s", what, response.StatusCode, text)
	}
	return read(response.Body)
}
