package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"leadevents"
)

const startLimit = time.Minute

// server is the real binary running `dev` in a temporary folder: the process,
// the stores and the way between them that a user has.
type server struct {
	cmd    *exec.Cmd
	ended  chan error
	log    bytes.Buffer
	folder string
	client *fasthttp.HostClient

	URL            string           `json:"url"`
	OrganizationID leadevents.OrgID `json:"organizationId"`
	APIKey         string           `json:"apiKey"`
	ClickHouse     struct{ Native, Database, User, Password string }
	Redis          struct{ Addr, Password string }
}

// startServer runs the binary with the given settings (KEY=VALUE) and waits
// until it is ready.
func startServer(ctx context.Context, binary string, settings ...string) (s *server, err error) {
	s = &server{ended: make(chan error, 1)}
	if s.folder, err = os.MkdirTemp("", "leadevents-bench-"); err != nil {
		return nil, err
	}
	args := []string{"dev", "--data-dir", s.folder, "--listen", "127.0.0.1:0", "--log-level", "warn"}
	for _, setting := range settings {
		args = append(args, "--set", setting)
	}
	s.cmd = exec.Command(binary, args...) // not CommandContext: it is to stop its stores in order
	s.cmd.Stderr = &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s (make build makes it): %w", binary, err), os.RemoveAll(s.folder))
	}
	go func() { s.ended <- s.cmd.Wait() }()
	if err := s.await(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.client = &fasthttp.HostClient{
		Addr:     strings.TrimPrefix(s.URL, "http://"),
		MaxConns: 4096, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		// A request is sent once: a retry would hide an error.
		RetryIfErr: func(*fasthttp.Request, int, error) (bool, bool) { return false, false },
	}
	return s, nil
}

// await waits for dev.json, which means "ready".
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		text, err := os.ReadFile(filepath.Join(s.folder, "dev.json"))
		if err == nil {
			return json.Unmarshal(text, s)
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("the server ended before it was ready: %w\n%s", err, s.log.String())
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
		err = fmt.Errorf("stop the server: %w\n%s", err, s.log.String())
	}
	return errors.Join(err, os.RemoveAll(s.folder))
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

// answer is the counts of a call.
type answer struct{ Received, Inserted, Duplicates, Rejected int }

// post sends one call; any status but 200 is an error.
func (s *server) post(body []byte) (answer, error) { return s.postKeyed(body, "") }

// postKeyed is post with an Idempotency-Key, if it is not empty.
func (s *server) postKeyed(body []byte, key string) (answer, error) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI(s.URL + "/api/v1/webhooks/lead-events")
	request.Header.SetMethod(fasthttp.MethodPost)
	request.Header.SetContentType("application/json")
	request.Header.Set(fasthttp.HeaderAuthorization, "Bearer "+s.APIKey)
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	request.SetBodyRaw(body)
	var a answer
	if err := s.client.Do(request, response); err != nil {
		return a, fmt.Errorf("send %d bytes: %w", len(body), err)
	}
	if response.StatusCode() != fasthttp.StatusOK {
		return a, fmt.Errorf("the server answered %d: %s", response.StatusCode(), response.Body())
	}
	return a, json.Unmarshal(response.Body(), &a)
}

// steps reads how many seconds each step of the write path has taken in all.
func (s *server) steps() (map[string]float64, error) {
	status, body, err := s.client.Get(nil, s.URL+"/metrics")
	if err != nil || status != fasthttp.StatusOK {
		return nil, errors.Join(fmt.Errorf("read /metrics: status %d", status), err)
	}
	const prefix = `leadevents_ingest_step_seconds_sum{step="`
	all := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		rest, ok := strings.CutPrefix(line, prefix)
		if !ok {
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSpace(rest), `"} `)
		if all[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("read /metrics: %w", err)
		}
	}
	return all, nil
}
