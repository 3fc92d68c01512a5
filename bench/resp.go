package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// wire is one connection to Redis that speaks its protocol barely: what is sent
// has been written before, and replies are only counted. It is the floor of any
// client.
type wire struct {
	conn net.Conn
	r    *bufio.Reader
}

func dialRedis(ctx context.Context, addr, password string) (*wire, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to Redis at %s: %w", addr, err)
	}
	w := &wire{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	if _, err := w.ask("AUTH", password); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return w, nil
}

func (w *wire) Close() error { return w.conn.Close() }

// appendCommand appends a command as it stands on the wire.
func appendCommand(b []byte, args ...string) []byte {
	b = append(b, '*')
	b = strconv.AppendInt(b, int64(len(args)), 10)
	b = append(b, '\r', '\n')
	for _, arg := range args {
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(len(arg)), 10)
		b = append(b, '\r', '\n')
		b = append(b, arg...)
		b = append(b, '\r', '\n')
	}
	return b
}

// pipeline sends commands that were written with appendCommand and reads as many
// replies as they have; it returns how many bulk strings among them were not nil.
func (w *wire) pipeline(commands []byte, replies int) (present int, err error) {
	if err := w.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := w.conn.Write(commands)
		sent <- err
	}()
	for range replies {
		n, _, err := w.reply(false)
		if err != nil {
			return 0, err
		}
		present += n
	}
	return present, <-sent
}

// ask sends one command and returns its reply's text.
func (w *wire) ask(args ...string) (string, error) {
	if err := w.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	if _, err := w.conn.Write(appendCommand(nil, args...)); err != nil {
		return "", fmt.Errorf("send %s to Redis: %w", args[0], err)
	}
	_, text, err := w.reply(true)
	if err != nil {
		return "", fmt.Errorf("%s: %w", args[0], err)
	}
	return text, nil
}

// reply reads one reply; present counts the bulk strings in it.
func (w *wire) reply(keep bool) (present int, text string, err error) {
	line, err := w.r.ReadSlice('\n')
	if err != nil {
		return 0, "", fmt.Errorf("read a reply of Redis: %w", err)
	}
	kind, rest := line[0], string(line[1:len(line)-2])
	switch kind {
	case '+', ':':
		return 0, rest, nil
	case '-':
		return 0, "", fmt.Errorf("an error of Redis: %s", rest)
	}
	n, err := strconv.Atoi(rest)
	switch {
	case err != nil:
		return 0, "", fmt.Errorf("not a reply of Redis: %q", line)
	case n < 0:
		return 0, "", nil
	case kind == '*':
		for range n {
			inner, _, err := w.reply(false)
			if err != nil {
				return 0, "", err
			}
			present += inner
		}
		return present, "", nil
	case keep:
		b := make([]byte, n+2)
		_, err = io.ReadFull(w.r, b)
		return 1, string(b[:max(len(b)-2, 0)]), err
	}
	_, err = w.r.Discard(n + 2)
	return 1, "", err
}

// info is one field of INFO.
func (w *wire) info(section, name string) (string, error) {
	text, err := w.ask("INFO", section)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value, nil
		}
	}
	return "", fmt.Errorf("INFO %s has no %s", section, name)
}

func noteRedis(ctx context.Context, r *report, addr, password string) error {
	w, err := dialRedis(ctx, addr, password)
	if err != nil {
		return err
	}
	defer w.Close()
	version, err := w.info("server", "redis_version")
	if err != nil {
		return err
	}
	r.version("Redis " + version)
	return nil
}
