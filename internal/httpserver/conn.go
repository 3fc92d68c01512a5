package httpserver

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

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
	waiting   list.List          // of those open, that no handler works for: *conn, by since when
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
	if c := cs.srv.cfg.Certificate; c != nil {
		l.tls = c.config()
	}
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
	tls      *tls.Config // nil: in the clear
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
		smallSteps(nc)
		c := &conn{Conn: nc, raw: nc, conns: l.conns}
		switch admitted := l.conns.admit(c); {
		case admitted && l.tls != nil:
			return l.secure(c), nil
		case admitted:
			return c, nil
		case l.tls != nil:
			// A handshake, only to say no, costs more than the request may.
			l.conns.srv.metrics.refused.WithLabelValues(SettingMaxConnections).Inc()
			_ = nc.Close()
		default:
			l.conns.refuse(c)
		}
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

// admit makes room for c if it must: of the connections that no handler works for
// (idle ones, silent ones, those whose headers or body trickle in) the one that has waited
// longest goes. So whoever opens connections and leaves them only ever takes them
// from himself and the idle, and new clients get in. False if all are being handled.
func (cs *connections) admit(c *conn) bool {
	cs.mu.Lock()
	var oldest *conn
	if len(cs.open) >= cs.srv.cfg.MaxConnections {
		front := cs.waiting.Front()
		if front == nil {
			cs.mu.Unlock()
			return false
		}
		oldest = front.Value.(*conn)
		cs.handled(oldest)
		delete(cs.open, oldest)
	}
	cs.open[c] = struct{}{}
	c.place = cs.waiting.PushBack(c)
	cs.mu.Unlock()
	if oldest != nil && !oldest.closed.Swap(true) {
		cs.srv.metrics.evicted.Inc()
		// Below TLS: a farewell might have to wait for its reader.
		_ = oldest.raw.Close()
	}
	return true
}

// handled takes c from those that wait. The caller holds mu.
func (cs *connections) handled(c *conn) {
	if c.place != nil {
		cs.waiting.Remove(c.place)
		c.place = nil
	}
}

// begin says that a handler works for c from now on; false if c had to go for another
// one before.
func (cs *connections) begin(c *conn) bool {
	if c == nil {
		return true
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.handled(c)
	_, open := cs.open[c]
	return open
}

// await puts c among those that wait for their clients.
func (cs *connections) await(c *conn) {
	if c == nil {
		return
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if _, open := cs.open[c]; open && c.place == nil {
		c.place = cs.waiting.PushBack(c)
	}
}

// inHandlers is how many connections do not wait for their client.
func (cs *connections) inHandlers() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open) - cs.waiting.Len()
}

func (cs *connections) forget(c *conn) {
	cs.mu.Lock()
	cs.handled(c)
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
	cs.handled(c)
	delete(cs.open, c)
	cs.lingering[c] = struct{}{}
	return true
}

// refuse answers 503 on a connection that is one too many.
func (cs *connections) refuse(c *conn) {
	cs.srv.metrics.refused.WithLabelValues(SettingMaxConnections).Inc()
	e := leadevents.Errorf(leadevents.Unavailable, "the server is handling requests on %d connections already (%s); send this one again",
		cs.srv.cfg.MaxConnections, SettingMaxConnections)
	c.plainly(e, Status(e.Kind))
	c.unread.Store(true)
	_ = c.Close()
}

// state follows fasthttp's view of a connection: an idle one has no unread
// body, and none that never was active has a request to lose.
func (cs *connections) state(nc net.Conn, state fasthttp.ConnState) {
	c := connOf(nc)
	if c == nil || state != fasthttp.StateIdle {
		return
	}
	c.unread.Store(false)
	cs.await(c)
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
		_ = c.raw.SetReadDeadline(time.Now().Add(lastLinger))
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
		_ = c.raw.Close()
	}
	for c := range cs.lingering {
		_ = c.raw.Close()
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
	net.Conn          // under TLS its session
	raw      net.Conn // the socket
	conns    *connections
	place    *list.Element // among those that wait; under connections.mu
	heard    atomic.Bool   // at least one byte was read
	unread   atomic.Bool   // the client may still be sending what nobody reads
	closed   atomic.Bool
	counted  bool // the request whose body is now asked for, by First
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

// unsent is how much of an answer may wait in the kernel for its client.
const unsent = 128 << 10

// smallSteps lets a write go on for every half of unsent that the client has taken.
// The kernel wakes a writer only when a third of its buffer is free, and the buffer
// grows to megabytes: a client that reads 25 KB a second, and never stands still,
// would not have taken that within http.write_timeout. Where the option is unknown it
// is as it was.
func smallSteps(nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent) })
		}
	}
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
	half, canHalf := c.raw.(interface{ CloseWrite() error })
	if !c.unread.Load() || !canHalf || !c.conns.linger(c) {
		defer c.conns.forget(c)
		return c.Conn.Close()
	}
	go func() {
		defer c.conns.forget(c)
		defer c.raw.Close()
		if session, ok := c.Conn.(*tls.Conn); ok {
			_ = session.CloseWrite() // its end of the answer; fails if there was no handshake
		}
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
		if c.raw.SetReadDeadline(deadline) != nil {
			return
		}
		n, err := c.raw.Read(buf[:]) // under TLS too: nobody wants to know what it says
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
