package httpserver

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lookInterval is how often the client of a streamed answer is looked for: what is made
// for it may cost a store a lot, and while nothing is written nothing tells that
// it has gone. A look takes a microsecond.
const lookInterval = 100 * time.Millisecond

// watch calls gone when the connection's client has closed it, or at least its own
// side; until ctx ends.
func (c *conn) watch(ctx context.Context, gone func()) {
	tcp, ok := c.raw.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		closed := false
		err := raw.Control(func(fd uintptr) {
			var next [1]byte
			n, _, err := unix.Recvfrom(int(fd), next[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			closed = n == 0 && err == nil || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
		})
		if closed || err != nil {
			gone()
			return
		}
	}
}
