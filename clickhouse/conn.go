package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// lingerLimit is how long a closed connection waits for the server to close its
// side. A server that waits for a query does it at once; one that is answering
// sees within 100 ms or so that nobody listens.
const lingerLimit = 3 * time.Second

// politeConn is a connection whose Close does not reset it.
//
// Closing a socket with unread bytes, as clickhouse-go does when a context ends,
// makes the kernel send a reset. The embedded engine aborts on one that it meets
// while it waits for a query (26.7: an uncaught exception in the thread of the
// connection), with everything else that it was doing; an end it takes well. So:
//
//	Close → FIN → read and drop → the server's FIN → close
//
// Close itself does not wait; whoever owns the pool waits for lingering.
//
// And its read deadline is how long the server may be silent, not how long all of
// an answer may take: clickhouse-go sets it once, before the first block, so that a
// long answer, or one whose reader takes its time (a rebuild at a bounded rate), was
// cut off though it flowed. A context's deadline (SetDeadline) stays what it is.
type politeConn struct {
	*net.TCPConn
	lingering *lingering
	heard     *atomic.Uint64

	reading sync.Mutex // held by a read
	mu      sync.Mutex
	closed  bool
	silence time.Duration // each read waits so long; 0: until the deadline, if any
}

// lingering is the connections of a pool that are closed here and not yet there.
// A WaitGroup alone would not do: the driver gives connections back, and so closes
// them, in goroutines of its own, also when the pool has been closed.
type lingering struct {
	mu     sync.Mutex
	over   bool
	atWork sync.WaitGroup
}

// run runs f beside the caller, or, once wait has begun, before it returns.
func (l *lingering) run(f func()) {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		f()
		return
	}
	l.atWork.Go(f)
	l.mu.Unlock()
}

// wait is for the end of the pool; lingerLimit bounds it.
func (l *lingering) wait() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.atWork.Wait()
}

// polite makes conn one that closes politely. heard counts the reads that bring
// something.
func polite(conn net.Conn, lingering *lingering, heard *atomic.Uint64) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	return &politeConn{TCPConn: tcp, lingering: lingering, heard: heard}
}

// Read implements net.Conn.
func (c *politeConn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if err := c.beginRead(); err != nil {
		return 0, err
	}
	n, err := c.TCPConn.Read(p)
	if n > 0 {
		c.heard.Add(1)
	}
	return n, err
}

func (c *politeConn) beginRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return net.ErrClosed
	case c.silence > 0:
		return c.TCPConn.SetReadDeadline(time.Now().Add(c.silence))
	}
	return nil
}

// Write implements net.Conn.
func (c *politeConn) Write(p []byte) (int, error) {
	if c.isClosed() {
		return 0, net.ErrClosed
	}
	return c.TCPConn.Write(p)
}

func (c *politeConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// SetDeadline implements net.Conn: a moment, however much is read before it.
func (c *politeConn) SetDeadline(at time.Time) error {
	return c.deadline(func() error { c.silence = 0; return c.TCPConn.SetDeadline(at) })
}

// SetReadDeadline implements net.Conn but for this: each read waits as long as
// the next one would now.
func (c *politeConn) SetReadDeadline(at time.Time) error {
	return c.deadline(func() error {
		c.silence = 0
		if !at.IsZero() {
			c.silence = max(time.Until(at), time.Nanosecond)
		}
		return c.TCPConn.SetReadDeadline(at)
	})
}

// SetWriteDeadline implements net.Conn.
func (c *politeConn) SetWriteDeadline(at time.Time) error {
	return c.deadline(func() error { return c.TCPConn.SetWriteDeadline(at) })
}

func (c *politeConn) deadline(set func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed { // the deadlines are now ours
		return net.ErrClosed
	}
	return set()
}

// secure speaks TLS over a connection, which stays polite beneath. A server name
// that is not set is the address's host.
func secure(ctx context.Context, conn net.Conn, cfg *tls.Config, addr string) (net.Conn, error) {
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		if host, _, err := net.SplitHostPort(addr); err == nil {
			cfg.ServerName = host
		}
	}
	over := tls.Client(conn, cfg)
	if err := over.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return over, nil
}

// SyscallConn implements syscall.Conn, by which the driver looks whether a connection is still good
// before it uses it again: one that is closed here lives on beneath until the server has closed it.
func (c *politeConn) SyscallConn() (syscall.RawConn, error) {
	if c.isClosed() {
		return nil, net.ErrClosed
	}
	return c.TCPConn.SyscallConn()
}

// untilSent is a context for a batch, which ends with ctx until sent is called, and not any more after it.
// clickhouse-go (2.50) closes the connection of a batch when its context ends, and where that
// ends just after Send has returned, as every one does that is cancelled by a defer, it may do so when the
// connection is back in the pool, and in use for another query: that one failed with "use of
// closed network connection", now and then on a machine that is busy.
func untilSent(ctx context.Context) (until context.Context, sent func()) {
	until, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	if at, ok := ctx.Deadline(); ok {
		until = deadlined{until, at}
	}
	return until, func() { stop() }
}

// batch begins an insert; every insert of columns or rows begins here.
func (db *DB) batch(ctx context.Context, statement string) (driver.Batch, error) {
	ctx, sent := untilSent(ctx)
	batch, err := db.conn.PrepareBatch(ctx, statement)
	if err != nil {
		sent()
		return nil, err
	}
	return sending{batch, sent}, nil
}

// sending is a batch that says when it has been sent.
type sending struct {
	driver.Batch
	sent func()
}

// Send implements driver.Batch.
func (s sending) Send() error {
	defer s.sent()
	return s.Batch.Send()
}

// deadlined has a deadline that its driver's reads and writes are given; what ends it is another.
type deadlined struct {
	context.Context
	at time.Time
}

// Deadline implements context.Context.
func (d deadlined) Deadline() (time.Time, bool) { return d.at, true }

// Close implements net.Conn: reads and writes that wait end at once.
func (c *politeConn) Close() error {
	if closed, err := c.end(); closed {
		return err
	}
	c.lingering.run(c.linger)
	return nil
}

// end ends what reads and writes; closed says that nothing is left to be done.
func (c *politeConn) end() (closed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return true, net.ErrClosed
	}
	c.closed = true
	if err := c.TCPConn.SetDeadline(time.Unix(1, 0)); err != nil {
		return true, c.TCPConn.Close()
	}
	return false, nil
}

func (c *politeConn) linger() {
	defer func() { _ = c.TCPConn.Close() }()
	c.reading.Lock() // the last read has ended
	defer c.reading.Unlock()
	if c.CloseWrite() != nil || c.TCPConn.SetReadDeadline(time.Now().Add(lingerLimit)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, onlyReader{c.TCPConn})
}

// onlyReader hides that a TCPConn can copy itself: splice would need a pipe.
type onlyReader struct{ io.Reader }
