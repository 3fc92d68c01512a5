package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postgres is a PostgreSQL of a benchmark's own: a cluster in a temporary folder,
// on a loopback port, with the durability it has by default.
type postgres struct {
	binaries, folder, port string
	account                *syscall.Credential // it refuses to run as root
	process                *exec.Cmd
	ended                  chan error
	log                    bytes.Buffer
}

// postgresSettings are what a careful administrator sets on such a machine: a
// quarter of the memory for its cache, sorts and hashes in memory, workers for
// every core, the cost of an SSD, and checkpoints that come seldom.
var postgresSettings = []string{
	"listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=4GB", "effective_cache_size=12GB",
	"work_mem=512MB", "hash_mem_multiplier=2", "maintenance_work_mem=1GB", "max_wal_size=8GB", "checkpoint_timeout=30min", "random_page_cost=1.1",
	"effective_io_concurrency=200", "max_parallel_workers_per_gather=2", "timezone=UTC",
}

// startPostgres makes a cluster and starts it.
func startPostgres(ctx context.Context, r *report) (p *postgres, err error) {
	p = &postgres{ended: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	if p.binaries, err = postgresBinaries(); err != nil {
		return p, err
	}
	if p.folder, err = os.MkdirTemp("", "leadevents-bench-postgres-"); err != nil {
		return p, err
	}
	if os.Geteuid() == 0 {
		if err := p.leaveRoot(); err != nil {
			return p, err
		}
	}
	data := filepath.Join(p.folder, "data")
	initdb := p.command(ctx, "initdb", "-D", data, "-U", "bench", "--auth=trust", "--encoding=UTF8", "--locale=C")
	if out, err := initdb.CombinedOutput(); err != nil {
		return p, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return p, err
	}
	p.port = strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	if err := free.Close(); err != nil {
		return p, err
	}
	args := []string{"-D", data, "-p", p.port}
	for _, setting := range postgresSettings {
		args = append(args, "-c", setting)
	}
	p.process = p.command(context.WithoutCancel(ctx), "postgres", args...)
	p.process.Stdout, p.process.Stderr = &p.log, &p.log
	if err := p.process.Start(); err != nil {
		return p, fmt.Errorf("start PostgreSQL: %w", err)
	}
	go func() { p.ended <- p.process.Wait() }()
	if err := p.await(ctx); err != nil {
		return p, err
	}
	version, err := p.ask(ctx, "SHOW server_version")
	r.version("PostgreSQL " + strings.Fields(version + " ?")[0])
	return p, err
}

// postgresBinaries finds the newest server's programs: Debian keeps them out of
// the PATH, a folder a version.
func postgresBinaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		if file, err := exec.LookPath("initdb"); err == nil {
			return filepath.Dir(file), nil
		}
		return "", errors.New("PostgreSQL's server is not installed (apt-get install postgresql), or leave it out with --postgres=false")
	}
	version := func(file string) float64 {
		v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(filepath.Dir(file))), 64)
		return v
	}
	slices.SortFunc(found, func(a, b string) int { return int(version(a) - version(b)) })
	return filepath.Dir(found[len(found)-1]), nil
}

// leaveRoot gives the folder to an account without rights.
func (p *postgres) leaveRoot() error {
	account, err := user.Lookup("nobody")
	if err != nil {
		return fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	p.account = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(p.folder, uid, gid)
}

func (p *postgres) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.binaries, program), args...)
	cmd.Dir = p.folder
	// A group of its own: Ctrl-C is for us, who then stop it in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.account, Setpgid: true}
	return cmd
}

func (p *postgres) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		_, err := p.ask(ctx, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			return fmt.Errorf("PostgreSQL ended at its start: %w\n%s", err, p.log.String())
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (p *postgres) stop() error {
	var err error
	if p.process != nil && p.process.Process != nil {
		err = p.process.Process.Signal(syscall.SIGINT) // fast: open sessions are ended
		select {
		case <-p.ended:
		case <-time.After(stopLimit):
			err = errors.Join(err, errors.New("PostgreSQL did not stop in time"), p.process.Process.Kill(), <-p.ended)
		}
	}
	return errors.Join(err, os.RemoveAll(p.folder))
}

// psql runs statements in one session and returns what it prints.
func (p *postgres) psql(ctx context.Context, in io.Reader, args ...string) (string, error) {
	cmd := p.command(ctx, "psql", append([]string{"-h", "127.0.0.1", "-p", p.port, "-U", "bench", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1"}, args...)...)
	cmd.Stdin = in
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("psql: %w\n%s", err, complaint.String())
	}
	return strings.TrimSpace(out.String()), nil
}

func (p *postgres) ask(ctx context.Context, sql string) (string, error) {
	return p.psql(ctx, nil, "-c", sql)
}

// copyFrom fills a table with the answer of a ClickHouse query in TSV.
func (p *postgres) copyFrom(ctx context.Context, table string, e clickHouseHTTP, sql string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+e.address+"/?database="+e.database+"&default_format=TSV", strings.NewReader(sql))
	if err != nil {
		return err
	}
	request.SetBasicAuth(e.user, e.password)
	return exchange(http.DefaultClient, request, "read the rows for PostgreSQL", func(rows io.Reader) error {
		_, err := p.psql(ctx, rows, "-c", "COPY "+table+" FROM STDIN")
		return err
	})
}

// clickHouseHTTP is where ClickHouse answers over HTTP.
type clickHouseHTTP struct{ address, database, user, password string }

var psqlTime = regexp.MustCompile(`(?m)^Time: ([0-9.]+) ms`)

// timed runs a statement in one session rounds + 1 times: the first warms up. The
// times are psql's, without the start of the session.
func (p *postgres) timed(ctx context.Context, sql string, rounds int) (answer string, times sample, err error) {
	var script strings.Builder
	script.WriteString("\\timing on\n")
	for range rounds + 1 {
		script.WriteString(sql + ";\n")
	}
	out, err := p.psql(ctx, strings.NewReader(script.String()))
	if err != nil {
		return "", nil, err
	}
	for _, found := range psqlTime.FindAllStringSubmatch(out, -1) {
		ms, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			return "", nil, err
		}
		times = append(times, time.Duration(ms*float64(time.Millisecond)))
	}
	if len(times) != rounds+1 {
		return "", nil, fmt.Errorf("PostgreSQL was timed %d times, not %d:\n%s", len(times), rounds+1, out)
	}
	answer, _, _ = strings.Cut(out, "\n")
	return answer, times[1:], nil
}

// statements splits a script of statements that hold no semicolon.
func statements(script string) []string {
	var list []string
	for statement := range strings.SplitSeq(script, ";") {
		if strings.TrimSpace(statement) != "" {
			list = append(list, statement)
		}
	}
	return list
}
