package httpserver

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v2"
)

// lookEvery is how often a client whose answer takes time is looked for: a system call
// of a microsecond, and well within the second in which the work for it is to end.
const lookEvery = 100 * time.Millisecond

// Attended is [Context] for work that nobody needs when the client has gone: it ends
// with the client's connection too. One that has closed its side for writing counts as
// gone, as it does in net/http. stop must be called before the handler returns.
func Attended(c *fiber.Ctx) (ctx context.Context, stop func()) {
	return attend(Context(c), requestOf(c.Context()).conn)
}

// attend is for the connection of a request, which is not read from meanwhile: fasthttp
// looks at it only before and after. So its state is asked of the kernel, which knows
// of the client's end also behind bytes that nobody has read yet, TLS' farewell or the
// next request of a pipeline.
func attend(parent context.Context, c *conn) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	if c == nil {
		return ctx, cancel
	}
	raw, ok := c.raw.(syscall.Conn)
	if !ok {
		return ctx, cancel
	}
	socket, err := raw.SyscallConn()
	if err != nil {
		return ctx, cancel
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
			if gone(socket) {
				cancel()
				return
			}
		}
	})
	return ctx, func() { cancel(); watching.Wait() }
}

// gone says whether the peer has ended the connection; a socket that is closed here has
// no peer.
func gone(socket syscall.RawConn) (ended bool) {
	err := socket.Control(func(fd uintptr) { ended = peerEnded(int(fd)) })
	return ended || err != nil
}
