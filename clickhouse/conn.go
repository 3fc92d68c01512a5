package clickhouse

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
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
type politeConn struct {
	*net.TCPConn
	lingering *lingering
	heard     *atomic.Uint64

	reading sync.Mutex // held by a read
	mu      sync.Mutex
	closed  bool
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

// polite makes conn one that closes politely. TLS is left alone: the engine has
// none, and servers take resets. heard counts the reads that bring something.
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
	if c.isClosed() {
		return 0, net.ErrClosed
	}
	n, err := c.TCPConn.Read(p)
	if n > 0 {
		c.heard.Add(1)
	}
	return n, err
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

// SetDeadline implements net.Conn.
func (c *politeConn) SetDeadline(at time.Time) error {
	return c.deadline(c.TCPConn.SetDeadline, at)
}

// SetReadDeadline implements net.Conn.
func (c *politeConn) SetReadDeadline(at time.Time) error {
	return c.deadline(c.TCPConn.SetReadDeadline, at)
}

// SetWriteDeadline implements net.Conn.
func (c *politeConn) SetWriteDeadline(at time.Time) error {
	return c.deadline(c.TCPConn.SetWriteDeadline, at)
}

func (c *politeConn) deadline(set func(time.Time) error, at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed { // the deadlines are now ours
		return net.ErrClosed
	}
	return set(at)
}

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
