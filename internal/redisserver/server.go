package redisserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"leadevents/internal/child"
)

// Config says where the server lives and what it may use.
type Config struct {
	DataDir string       // made if need be; one living process at a time
	Binary  string       // redis-server; empty: found in PATH
	Logger  *slog.Logger // nil: silent

	// MaxMemoryBytes refuses writes beyond it (nothing is ever evicted); 0 has
	// no limit but the machine's.
	MaxMemoryBytes uint64
	// MinFreeBytes of disk are required to start; 0 means 64 MiB.
	MinFreeBytes uint64
	// StopTimeout is how long writing out the file may take; 0 means 20 s.
	StopTimeout time.Duration

	// OnChange hears the endpoint after every (re)start, before Start returns
	// for the first one. It must not call Stop.
	OnChange func(Endpoint)
}

// Endpoint is where the server answers.
type Endpoint struct {
	Addr     string // "127.0.0.1:39113"
	Password string
	PID      int
}

// Server is a running redis-server.
type Server struct {
	cfg    Config
	binary string
	folder *child.Folder

	mu       sync.Mutex
	process  *child.Process
	endpoint Endpoint
}

const defaultMinFree = 64 << 20

// Start starts redis-server on cfg.DataDir and returns when it answers; ctx
// bounds the start only. A folder that another living process holds is a
// *child.HeldError.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	binary, err := find(ctx, cfg.Binary)
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
	s := &Server{cfg: cfg, binary: binary, folder: folder}
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
	s.endpoint.Password = password
	if err := os.MkdirAll(s.folder.Path("data"), 0o700); err != nil {
		return fmt.Errorf("make the folder of redis' files: %w", err)
	}
	process, err := child.Start(ctx, child.Config{
		Name: "redis", Folder: s.folder, Logger: s.cfg.Logger,
		Command: s.command, Ready: s.ready, OnStart: s.started,
		StopSignal:  syscall.SIGTERM,
		StopTimeout: s.cfg.StopTimeout,
	})
	s.mu.Lock() // the supervisor is at work already
	s.process = process
	s.mu.Unlock()
	return err
}

// command builds one start of the server, with its configuration: the port may
// have changed.
func (s *Server) command(error) (*exec.Cmd, error) {
	ports, err := s.folder.Ports("port.json", 1)
	if err != nil {
		return nil, err
	}
	if err := s.folder.WriteFile("redis.conf", s.config(ports[0])); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.endpoint.Addr = "127.0.0.1:" + strconv.Itoa(ports[0])
	s.endpoint.PID = 0
	s.mu.Unlock()
	return exec.Command(s.binary, s.folder.Path("redis.conf")), nil
}

// config is redis.conf. The reasons stand in the file, for whoever opens it.
func (s *Server) config(port int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `# Written by leadevents at every start: changes here are lost.
bind 127.0.0.1
port %d
protected-mode yes
requirepass %s
daemonize no
supervised no
# To stdout, which the supervisor writes to redis.log and keeps bounded.
logfile ""
loglevel notice
dir %s
# The append-only file is the only copy; snapshots would double the writing.
save ""
appendonly yes
appendfsync everysec
# A rewrite must not make the last second longer.
no-appendfsync-on-rewrite no
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 64mb
aof-load-truncated yes
aof-use-rdb-preamble yes
# A key that is evicted would be counted twice: refuse writes instead.
maxmemory %d
maxmemory-policy noeviction
# Freeing big values and FLUSHALL happen beside the commands.
lazyfree-lazy-eviction yes
lazyfree-lazy-expire yes
lazyfree-lazy-server-del yes
lazyfree-lazy-user-del yes
lazyfree-lazy-user-flush yes
# Small hashes stay packed, about 30 bytes a key instead of 80. Packed ones are
# searched from end to end: with 512 instead of 128 entries a seal takes twice
# as long and a peek at known keys five times (make bench-ledger).
hash-max-listpack-entries 128
hash-max-listpack-value 64
tcp-keepalive 60
`, port, s.endpoint.Password, quote(s.folder.Path("data")), s.cfg.MaxMemoryBytes)
	return []byte(b.String())
}

// quote writes a path as redis.conf reads it: spaces, quotes and bytes beyond
// ASCII survive.
func quote(path string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(path) {
		switch c := path[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (s *Server) ready(ctx context.Context) error {
	e := s.Endpoint()
	return ping(ctx, e.Addr, e.Password)
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

// Endpoint is where the server answers now; PID is 0 while it is starting
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

// Err is nil while the server is up, otherwise why it is not.
func (s *Server) Err() error { return s.process.Err() }

// Stop lets the server write out its file and end, waits for it and gives the
// folder free. An error means that it had to be killed, after StopTimeout or
// when ctx ended: then up to a second of writes is gone.
func (s *Server) Stop(ctx context.Context) error {
	return errors.Join(s.process.Stop(ctx), s.folder.Close())
}

// explain adds what to do to the words of a server that did not start.
func (s *Server) explain(err error) error {
	exit, exited := errors.AsType[*child.ExitError](err)
	if !exited {
		return err
	}
	advice := "its log is " + s.folder.Path("redis.log")
	switch {
	case strings.Contains(exit.Words, "Address already in use"):
		advice = "other programs keep taking its port on 127.0.0.1: start again"
	case strings.Contains(exit.Words, "No space left on device"):
		advice = "the disk is full: free some space or choose another data folder"
	case strings.Contains(exit.Words, "Bad file format reading the append only file"):
		advice = "its append-only file is damaged in the middle: repair it with redis-check-aof --fix, or remove " + s.folder.Path("data") + " (the ledger is rebuilt from ClickHouse)"
	}
	return fmt.Errorf("start redis-server: %s: %w", advice, err)
}
