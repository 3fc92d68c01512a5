package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"leadevents/clickhouse/analyst"
	"leadevents/internal/child"
)

// Config says where the engine lives and what it may use.
type Config struct {
	DataDir string       // made if need be; one living process at a time
	Library string       // libchdb.so; empty: see FindLibrary
	Logger  *slog.Logger // nil: silent

	Databases []string // created (Atomic) before the engine counts as ready
	Users     []User   // beside the user with all rights
	Profiles  []Profile
	Analysts  Analysts

	// MemoryLimitBytes bounds the engine's memory; 0 leaves 60 % of the
	// machine's, which also caps any larger value.
	MemoryLimitBytes uint64
	// Fsync makes an acknowledged insert survive a power cut too, not only
	// the end of the process.
	Fsync bool
	// QueryLogDays keeps system.query_log for so many days, and no longer than
	// until the engine's next start; 0 keeps none. It holds the statements' text.
	QueryLogDays int
	// MinFreeBytes of disk are required to start; 0 means 256 MiB.
	MinFreeBytes uint64
	// StopTimeout is how long running queries may hold up Stop; 0 means 20 s.
	StopTimeout time.Duration

	// OnChange hears the endpoint after every (re)start, before Start returns
	// for the first one. The pid always changes, the ports do if somebody took
	// them meanwhile. It must not call Stop.
	OnChange func(Endpoint)
}

// Analysts is how many users for organizations' own SQL are made ahead, since none can
// be made later, and what they may take (package analyst).
type Analysts struct {
	Users  int
	Limits analyst.Limits
	// Password is of the user that makes their views, from which theirs are derived;
	// empty: of the user with all rights.
	Password string
}

// Endpoint is where the engine answers, and for whom.
type Endpoint struct {
	Native   string // "127.0.0.1:39111"
	HTTP     string // "127.0.0.1:39112", without a scheme
	User     string // has all rights
	Password string
	PID      int
}

// Server is a running engine.
type Server struct {
	cfg     Config
	library string
	folder  *child.Folder
	process *child.Process
	client  *http.Client

	mu       sync.Mutex
	endpoint Endpoint
}

const defaultMinFree = 256 << 20

// Start starts the engine on cfg.DataDir and returns when it answers queries;
// ctx bounds the start only. A folder that another living process holds is a
// *child.HeldError.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	library, err := FindLibrary(cfg.Library)
	if err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MinFreeBytes == 0 {
		cfg.MinFreeBytes = defaultMinFree
	}
	folder, err := child.OpenFolder(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, library: library, folder: folder,
		// No connection is kept: readiness is asked a few times a start.
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}},
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(s.explain(err), folder.Close())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	if err := s.folder.RequireFree(s.cfg.MinFreeBytes); err != nil {
		return err
	}
	password, err := s.folder.Secret("password")
	if err != nil {
		return err
	}
	s.endpoint.User, s.endpoint.Password = AdminUser, password
	config, users, err := render(s.cfg, s.folder.Path("users.xml"), s.folder.Path("data"), password)
	if err != nil {
		return err
	}
	if err := s.folder.WriteFile("users.xml", users); err != nil {
		return err
	}
	if err := s.folder.WriteFile("config.xml", config); err != nil {
		return err
	}
	process, err := child.Start(ctx, child.Config{
		Name: "engine", Folder: s.folder, Logger: s.cfg.Logger,
		Command: s.command, Ready: s.ready, OnStart: s.started,
		StopSignal:  0, // by its stdin
		StopTimeout: s.cfg.StopTimeout,
	})
	s.mu.Lock() // the supervisor is at work already
	s.process = process
	s.mu.Unlock()
	return err
}

// command builds one start of the engine. The ports of the last start are kept
// if they are free: always, unless somebody else bound them meanwhile.
func (s *Server) command(error) (*exec.Cmd, error) {
	ports, err := s.folder.Ports("ports.json", 3)
	if err != nil {
		return nil, err
	}
	// What queries spilled when the engine was killed would stay for ever. And
	// the engine forgets the tables of its database "system", but not their
	// files, which then keep it from making its query log again.
	for _, path := range []string{s.folder.Path("data", "tmp"), s.folder.Path("data", "data", "system")} {
		if err := os.RemoveAll(path); err != nil {
			return nil, fmt.Errorf("clear the engine's temporary files: %w", err)
		}
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find our own executable: %w", err)
	}
	s.mu.Lock()
	s.endpoint.Native = "127.0.0.1:" + strconv.Itoa(ports[0])
	s.endpoint.HTTP = "127.0.0.1:" + strconv.Itoa(ports[1])
	s.endpoint.PID = 0
	s.mu.Unlock()
	cmd := exec.Command(executable)
	cmd.Args = []string{
		engineName, s.library,
		relayFlag + strconv.Itoa(ports[0]) + "," + strconv.Itoa(ports[2]),
		"--config-file=" + s.folder.Path("config.xml"),
		"--path=" + s.folder.Path("data"),
		"--listen_host=127.0.0.1",
		"--tcp_port=" + strconv.Itoa(ports[2]),
		"--http_port=" + strconv.Itoa(ports[1]),
		// HTTP last: when it answers, so does the native port. The last
		// statement ends when the pipe does.
		"--query=SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; SELECT count() FROM file(stdin, LineAsString, 's String')",
	}
	cmd.Dir = s.folder.Path() // relative file names in queries end up here
	return cmd, nil
}

// ready asks a first query and makes the databases.
func (s *Server) ready(ctx context.Context) error {
	answer, err := s.Exec(ctx, "SELECT 1")
	if err != nil {
		return err
	}
	if answer != "1\n" {
		return errors.New("the engine's HTTP port answers, but not as an engine")
	}
	for _, database := range s.cfg.Databases {
		if _, err := s.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+database+" ENGINE = Atomic"); err != nil {
			return fmt.Errorf("create the database %s: %w", database, err)
		}
	}
	return nil
}

// Exec runs one statement as the user with all rights, over HTTP, and returns
// its answer (at most 64 KiB, tab separated). It is meant for setting up and for
// tests; the rest of the program speaks the native protocol.
func (s *Server) Exec(ctx context.Context, statement string) (string, error) {
	e := s.Endpoint()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, (&url.URL{Scheme: "http", Host: e.HTTP}).String(), strings.NewReader(statement))
	if err != nil {
		return "", fmt.Errorf("build the request: %w", err)
	}
	request.Header.Set("X-ClickHouse-User", e.User)
	request.Header.Set("X-ClickHouse-Key", e.Password)
	response, err := s.client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("read the engine's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the engine answers %s: %s", response.Status, strings.TrimSpace(string(body)))
	}
	return string(body), nil
}

func (s *Server) started(pid int) {
	s.mu.Lock()
	s.endpoint.PID = pid
	e := s.endpoint
	s.mu.Unlock()
	if s.cfg.OnChange != nil {
		s.cfg.OnChange(e)
	}
}

// Endpoint is where the engine answers now; PID is 0 while it is starting
// again.
func (s *Server) Endpoint() Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.endpoint
	if s.process != nil && s.process.PID() == 0 {
		e.PID = 0
	}
	return e
}

// Err is nil while the engine is up, otherwise why it is not.
func (s *Server) Err() error { return s.process.Err() }

// Stop ends the engine in order (running queries are cancelled), waits for it
// and gives the folder free. An error means that it had to be killed, after
// StopTimeout or when ctx ended; nothing acknowledged is lost by that.
func (s *Server) Stop(ctx context.Context) error {
	return errors.Join(s.process.Stop(ctx), s.folder.Close())
}

// explain adds what to do to the words of an engine that did not start.
func (s *Server) explain(err error) error {
	exit, exited := errors.AsType[*child.ExitError](err)
	if !exited {
		return err
	}
	advice := "its log is " + s.folder.Path("engine.log")
	switch {
	case strings.Contains(exit.Words, "Address already in use"):
		advice = "other programs keep taking its ports on 127.0.0.1: start again"
	case strings.Contains(exit.Words, "No space left on device"), strings.Contains(exit.Words, "NOT_ENOUGH_SPACE"):
		advice = "the disk is full: free some space or choose another data folder"
	case strings.Contains(exit.Words, "load the engine"), strings.Contains(exit.Words, "is not a chdb library"):
		advice = "the library cannot be loaded: remove its folder, then " + fetchAdvice
	}
	return fmt.Errorf("start the embedded ClickHouse: %s: %w", advice, err)
}
