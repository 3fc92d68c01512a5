package redisserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// minMajor: `SET … NX GET`, by which the ledger decides counts, came with 7.0.
const minMajor = 7

var versionShape = regexp.MustCompile(`v=(\d+)\.(\d+)\.(\d+)`)

// find looks for redis-server and refuses versions that are too old.
func find(ctx context.Context, binary string) (string, error) {
	if binary == "" {
		binary = "redis-server"
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		return "", fmt.Errorf("redis-server is not installed (looked for %q): install Debian's package redis-server with `apt-get install redis-server`, version 7.0 or newer: %w", binary, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	match := versionShape.FindStringSubmatch(string(out))
	if match == nil {
		return "", fmt.Errorf("%s is no redis-server: its version reads %q", path, strings.TrimSpace(string(out)))
	}
	if major, _ := strconv.Atoi(match[1]); major < minMajor {
		return "", fmt.Errorf("%s is version %s.%s.%s, at least 7.0 is needed (SET with NX and GET): install a newer redis-server", path, match[1], match[2], match[3])
	}
	return path, nil
}

// ping asks one question in the server's own protocol. While the server still
// loads its file it answers -LOADING, which is an error here.
func ping(ctx context.Context, addr, password string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	// The password is letters and digits: an inline command needs no quoting.
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", password); err != nil {
		return err
	}
	answers := bufio.NewReader(conn)
	for _, want := range []string{"+OK", "+PONG"} {
		line, err := answers.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read redis-server's answer: %w", err)
		}
		if line = strings.TrimSpace(line); line != want {
			return errors.New("redis-server answers " + line)
		}
	}
	return nil
}
