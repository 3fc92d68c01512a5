package httpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"leadevents"
)

const (
	// maxLingering bounds the connections that are answered and still read
	// from; each holds a goroutine and a 16 KiB buffer: 1,024 × 20 KiB = 20 MiB.
	maxLingering = 1024
	// maxLingerBytes is how much a client may go on sending after its answer.
	maxLingerBytes = 256 << 20
	// lastLinger is how long a lingering connection lives on at shutdown.
	lastLinger = time.Second
	// newConnGrace is how long a connection without a first byte lives on at
	// shutdown: its request may be on the way.
	newConnGrace = 250 * time.Millisecond
)

// connections knows every open connection of a server, and closes each the
// way its client can still read the answer.
type connections struct {
	srv *Server

	mu        sync.Mutex
	open      map[*conn]struct{} // served, or waiting for a request
	lingering map[*conn]struct{} // answered, and read from until the client ends
	listeners []*listener
	stopping  bool

	stopped chan struct{} // closed by stop
}

func newConnections(s *Server) *connections {
	return &connections{srv: s, open: map[*conn]struct{}{}, lingering: map[*conn]struct{}{}, stopped: make(chan struct{})}
}

func (cs *connections) counts() (open, lingering int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open), len(cs.lingering)
}

// listen wraps ln. After stop, which may come before Serve got here, ln is
// closed at once: nothing would ever close it again.
func (cs *connections) listen(ln net.Listener) net.Listener {
	l := &listener{Listener: ln, conns: cs}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.stopping {
		_ = l.Close()
	} else {
		cs.listeners = append(cs.listeners, l)
	}
	return l
}

// listener hands out connections up to the limit and survives a machine that
// is short of file descriptors for a while.
type listener struct {
	net.Listener
	conns    *connections
	closing  sync.Once
	closeErr error
}

// Close implements net.Listener; it may be called more than once.
func (l *listener) Close() error {
	l.closing.Do(func() { l.closeErr = l.Listener.Close() })
	return l.closeErr
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	delay := 5 * time.Millisecond
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if !passing(err) {
				return nil, err
			}
			l.conns.srv.logger.Warn("accept a connection", "error", err, "retryIn", delay)
			select {
			case <-time.After(delay):
			case <-l.conns.stopped:
			}
			delay = min(2*delay, time.Second)
			continue
		}
		c := &conn{Conn: nc, conns: l.conns}
		if l.conns.admit(c) {
			return c, nil
		}
		l.conns.refuse(c)
	}
}

// passing says whether a failed accept is worth another try. fasthttp takes
// all of these as the end of the listener.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (cs *connections) admit(c *conn) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.open) >= cs.srv.cfg.MaxConnections {
		return false
	}
	cs.open[c] = struct{}{}
	return true
}

func (cs *connections) forget(c *conn) {
	cs.mu.Lock()
	delete(cs.open, c)
	delete(cs.lingering, c)
	cs.mu.Unlock()
}

// linger moves c to those that are only read from; false if there are enough.
func (cs *connections) linger(c *conn) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.lingering) >= maxLingering {
		return false
	}
	delete(cs.open, c)
	cs.lingering[c] = struct{}{}
	return true
}

// refuse answers 503 on a connection that is one too many.
func (cs *connections) refuse(c *conn) {
	cs.srv.metrics.refused.WithLabelValues(SettingMaxConnections).Inc()
	e := leadevents.Errorf(leadevents.Unavailable, "the server has %d connections open already (%s); send the request again",
		cs.srv.cfg.MaxConnections, SettingMaxConnections)
	id := requestID(nil)
	body := errorBody(e, id)
	answer := fmt.Appendf(nil, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/json\r\n"+
		"Retry-After: 1\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s", headerRequestID, id, len(body), body)
	// A fresh socket's send buffer takes these few hundred bytes at once.
	_, _ = c.Write(answer)
	c.unread.Store(true)
	_ = c.Close()
}

// state follows fasthttp's view of a connection: an idle one has no unread
// body, and none that never was active has a request to lose.
func (cs *connections) state(nc net.Conn, state fasthttp.ConnState) {
	if c, ok := nc.(*conn); ok && state == fasthttp.StateIdle {
		c.unread.Store(false)
	}
}

// stop closes the listeners and ends what waits for nothing: lingering
// connections get a last second, those without a first byte the grace.
func (cs *connections) stop() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.stopping {
		return
	}
	cs.stopping = true
	close(cs.stopped)
	for _, l := range cs.listeners {
		_ = l.Close() // fasthttp, which closes it again, reports the error
	}
	for c := range cs.lingering {
		_ = c.Conn.SetReadDeadline(time.Now().Add(lastLinger))
	}
	time.AfterFunc(newConnGrace, cs.closeSilent)
}

// closeSilent closes the connections that have not sent a byte.
func (cs *connections) closeSilent() {
	cs.mu.Lock()
	var silent []*conn
	for c := range cs.open {
		if !c.heard.Load() {
			silent = append(silent, c)
		}
	}
	cs.mu.Unlock()
	for _, c := range silent {
		_ = c.Close()
	}
}

func (cs *connections) closeAll() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.open {
		_ = c.Conn.Close()
	}
	for c := range cs.lingering {
		_ = c.Conn.Close()
	}
}

// wait returns when no connection is left, or with ctx's error. It looks every
// 5 ms: fasthttp counts a connection as done a moment before it closes it, so
// there is no event to wait for.
func (cs *connections) wait(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if open, lingering := cs.counts(); open+lingering == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// conn is one client's connection.
type conn struct {
	net.Conn
	conns  *connections
	heard  atomic.Bool // at least one byte was read
	unread atomic.Bool // the client may still be sending what nobody reads
	closed atomic.Bool
}

// Read implements net.Conn. A connection that ends, or times out, before its
// first byte is simply over: there is no request to answer.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		if !c.heard.Load() {
			c.heard.Store(true)
		}
	} else if err != nil && !c.heard.Load() && !errors.Is(err, net.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

// Write implements net.Conn. The deadline is each write's own: an export may
// take hours, but not stand still.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.conns.srv.cfg.WriteTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn. If the client may still be sending, closing now
// would make the kernel answer its bytes with a reset, and a reset discards
// what the client has not read yet: our answer. So: end our side, read what
// comes until the client has finished too, then close. (RFC 9112, 9.6)
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	half, canHalf := c.Conn.(interface{ CloseWrite() error })
	if !c.unread.Load() || !canHalf || !c.conns.linger(c) {
		defer c.conns.forget(c)
		return c.Conn.Close()
	}
	go func() {
		defer c.conns.forget(c)
		defer c.Conn.Close()
		if half.CloseWrite() == nil {
			c.drain()
		}
	}()
	return nil
}

var drainBuffers = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// drain reads and drops until the client ends, stands still, or has had its
// time or its bytes.
func (c *conn) drain() {
	srv := c.conns.srv
	buf := drainBuffers.Get().(*[16 << 10]byte)
	defer drainBuffers.Put(buf)
	end := time.Now().Add(srv.cfg.LingerTimeout)
	for left := maxLingerBytes; left > 0; {
		deadline := minTime(time.Now().Add(srv.lingerIdle()), end)
		select {
		case <-c.conns.stopped:
			end = minTime(end, time.Now().Add(lastLinger))
			deadline = end
		default:
		}
		if c.Conn.SetReadDeadline(deadline) != nil {
			return
		}
		n, err := c.Conn.Read(buf[:])
		left -= n
		if err != nil {
			return
		}
	}
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
