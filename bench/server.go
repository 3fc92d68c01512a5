package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"leadevents"
	"leadevents/internal/child"
)

const startLimit = time.Minute

// server is the real binary running `dev` in a temporary folder: the process,
// the stores and the way between them that a user has.
type server struct {
	cmd    *exec.Cmd
	ended  chan error
	log    *child.Log
	folder string
	client *fasthttp.HostClient

	URL            string           `json:"url"`
	OrganizationID leadevents.OrgID `json:"organizationId"`
	APIKey         string           `json:"apiKey"`
	ClickHouse     struct{ Native, HTTP, Database, User, Password string }
	Redis          struct{ Addr, Password string }
}

// startServer runs the binary with the given settings (KEY=VALUE) and waits
// until it is ready.
func startServer(ctx context.Context, binary string, settings ...string) (s *server, err error) {
	s = &server{}
	if s.folder, err = os.MkdirTemp("", "leadevents-bench-"); err != nil {
		return nil, err
	}
	args := append([]string{"dev", "--data-dir", s.folder, "--listen", "127.0.0.1:0", "--log-level", "warn"}, setFlags(settings)...)
	if err := s.launch(exec.Command(binary, args...)); err != nil {
		return nil, err
	}
	// dev.json means "ready".
	err = s.await(ctx, startLimit, func() bool {
		text, err := os.ReadFile(filepath.Join(s.folder, "dev.json"))
		return err == nil && json.Unmarshal(text, s) == nil
	})
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.connect()
	return s, nil
}

func setFlags(settings []string) []string {
	var args []string
	for _, setting := range settings {
		args = append(args, "--set", setting)
	}
	return args
}

// launch starts the process; if it cannot, its folder is gone. cmd has no
// context: the server is to stop in order.
func (s *server) launch(cmd *exec.Cmd) error {
	// Bounded: a server without its stores writes a line for every 503.
	var err error
	if s.log, err = child.OpenLog(filepath.Join(s.folder, "server.log"), 16<<20, 1); err != nil {
		return errors.Join(err, os.RemoveAll(s.folder))
	}
	s.cmd, s.ended = cmd, make(chan error, 1)
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s (make build makes it): %w", cmd.Path, err), s.log.Close(), os.RemoveAll(s.folder))
	}
	go func() { s.ended <- s.cmd.Wait() }()
	return nil
}

// connect prepares the calls to the server's URL.
func (s *server) connect() {
	s.client = &fasthttp.HostClient{
		Addr:     strings.TrimPrefix(s.URL, "http://"),
		MaxConns: 4096, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		// A request is sent once: a retry would hide an error.
		RetryIfErr: func(*fasthttp.Request, int, error) (bool, bool) { return false, false },
	}
}

// await waits until the server is ready, or has ended.
func (s *server) await(ctx context.Context, patience time.Duration, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if ready() {
			return nil
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("the server ended before it was ready: %w\n%s", err, s.log.Tail())
		case <-ctx.Done():
			return fmt.Errorf("wait for the server: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the server: %w", err)
	}
	var err error
	select {
	case err = <-s.ended:
	case <-time.After(stopLimit):
		err = errors.Join(errors.New("the server did not stop in time"), s.cmd.Process.Kill(), <-s.ended)
	}
	if err != nil {
		err = fmt.Errorf("stop the server: %w\n%s", err, s.log.Tail())
	}
	return errors.Join(err, s.log.Close(), os.RemoveAll(s.folder))
}

// note puts the versions of the stores into the report.
func (s *server) note(ctx context.Context, r *report) error {
	conn, err := connectClickHouse(s.ClickHouse.Native, s.ClickHouse.User, s.ClickHouse.Password, s.ClickHouse.Database)
	if err != nil {
		return err
	}
	defer conn.Close()
	return errors.Join(noteClickHouse(ctx, r, conn), noteRedis(ctx, r, s.Redis.Addr, s.Redis.Password))
}
