package chaos

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Disturbance is what a [Proxy] does to the bytes that come through it.
type Disturbance int

// The disturbances. Those that end connections go on doing so, to new ones too,
// until the proxy is told otherwise.
const (
	Clean       Disturbance = iota
	CutReplies              // a request goes through, its reply ends the connection
	CutRequests             // half of what a client sends goes through, then the connection ends
	Delay                   // every piece waits, in both directions
	Stall                   // nothing goes through, nothing ends
	Refuse                  // every connection ends at once
)

// dialLimit bounds the connection to the store; it is on the same machine.
const dialLimit = 2 * time.Second

// Proxy stands between a client and a TCP server and disturbs what they say.
type Proxy struct {
	listener net.Listener
	target   func() string

	mu      sync.Mutex
	mode    Disturbance
	delay   time.Duration
	changed chan struct{} // closed at every change
	open    map[net.Conn]struct{}
	closed  bool
	done    sync.WaitGroup
}

// NewProxy listens on a free port of the loopback. Each connection goes to what
// target says then: a store that was replaced may have another address.
func NewProxy(target func() string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a proxy: %w", err)
	}
	p := &Proxy{listener: listener, target: target, changed: make(chan struct{}), open: map[net.Conn]struct{}{}}
	p.done.Go(p.accept)
	return p, nil
}

// Addr is where clients connect to, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Disturb changes what happens from now on. delay is each piece's, for Delay.
func (p *Proxy) Disturb(mode Disturbance, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode, p.delay = mode, delay
	close(p.changed)
	p.changed = make(chan struct{})
	if mode == Refuse {
		p.cut()
	}
}

// Close ends every connection and waits for all goroutines.
func (p *Proxy) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.changed)
		p.changed = make(chan struct{})
		_ = p.listener.Close()
		p.cut()
	}
	p.mu.Unlock()
	p.done.Wait()
}

// cut ends every connection; the caller holds mu.
func (p *Proxy) cut() {
	for conn := range p.open {
		_ = conn.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of file descriptors, for a moment
			continue
		}
		p.done.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	if !p.keep(client) {
		return
	}
	defer p.forget(client)
	store, err := net.DialTimeout("tcp", p.target(), dialLimit)
	if err != nil {
		return
	}
	defer store.Close()
	if !p.keep(store) {
		return
	}
	defer p.forget(store)
	var both sync.WaitGroup
	pump := func(from, to net.Conn, replies bool) {
		p.pump(from, to, replies)
		_ = from.Close()
		_ = to.Close()
	}
	both.Go(func() { pump(client, store, false) })
	both.Go(func() { pump(store, client, true) })
	both.Wait()
}

func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.mode == Refuse {
		return false
	}
	p.open[conn] = struct{}{}
	return true
}

func (p *Proxy) forget(conn net.Conn) {
	p.mu.Lock()
	delete(p.open, conn)
	p.mu.Unlock()
}

// pump copies until either side ends or a disturbance ends it.
func (p *Proxy) pump(from, to net.Conn, replies bool) {
	piece := make([]byte, 16<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			n, ok := p.admit(n, replies)
			if _, err := to.Write(piece[:n]); err != nil || !ok {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// admit says how much of a piece of n bytes goes through, when it may, and
// whether the connection lives on.
func (p *Proxy) admit(n int, replies bool) (through int, ok bool) {
	waited := false
	for {
		p.mu.Lock()
		mode, delay, changed, closed := p.mode, p.delay, p.changed, p.closed
		p.mu.Unlock()
		var wait <-chan time.Time
		switch {
		case closed || mode == Refuse || mode == CutReplies && replies:
			return 0, false
		case mode == CutRequests && !replies:
			return n / 2, false
		case mode == Delay && !waited:
			timer := time.NewTimer(delay)
			defer timer.Stop()
			wait, waited = timer.C, true
		case mode == Stall: // until it is over
		default:
			return n, true
		}
		select {
		case <-wait:
		case <-changed:
		}
	}
}
