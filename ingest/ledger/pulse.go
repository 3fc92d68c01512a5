package ledger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// pulse is the connection by which a process knows that Redis lives. Its client
// is made anew after every failure: go-redis' own pool remembers a failed dial
// for a second.
type pulse struct {
	options redis.Options
	client  *redis.Client
	asked   int
	refused bool          // by the last probe
	heard   atomic.Uint64 // reads that brought something, on all connections
}

// Probe asks Redis for a sign of life, over a connection of its own and by one
// goroutine at a time. alive says that it answered; err is then what keeps it
// from working, if anything. Every fifth probe writes, and every one until Redis
// has taken it: one whose memory is full answers everything else.
func (l *Ledger) Probe(ctx context.Context) (alive bool, err error) {
	p := &l.pulse
	if p.client == nil {
		p.client = redis.NewClient(&p.options)
	}
	if p.refused || p.asked%5 == 0 {
		err = p.client.Set(ctx, l.cfg.Prefix+"probe", "1", time.Minute).Err()
	} else {
		err = p.client.Ping(ctx).Err()
	}
	p.asked++
	if _, answered := errors.AsType[redis.Error](err); err != nil && !answered {
		err = errors.Join(err, p.client.Close())
		p.client = nil
		return false, fmt.Errorf("probe Redis at %s: %w", l.cfg.Addr, err)
	}
	err = refusal(err)
	p.refused = err != nil
	return true, err
}

// Heard grows with everything that Redis says on any connection without TLS: it
// is busy, not dead, when it is late with a probe and answers others meanwhile.
func (l *Ledger) Heard() uint64 { return l.pulse.heard.Load() }

func (p *pulse) close() error {
	if p.client == nil {
		return nil
	}
	return p.client.Close()
}

// dialer makes connections whose reads are counted.
func (p *pulse) dialer(options redis.Options) func(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := options.Dialer
	if dial == nil {
		dial = redis.NewDialer(&options)
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); err == nil && ok {
			return &countedConn{TCPConn: tcp, heard: &p.heard}, nil
		}
		return conn, err
	}
}

// countedConn counts the reads that bring something. It stays a syscall.Conn,
// through which go-redis finds out that an idle connection has ended.
type countedConn struct {
	*net.TCPConn
	heard *atomic.Uint64
}

// Read implements net.Conn.
func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if n > 0 {
		c.heard.Add(1)
	}
	return n, err
}
