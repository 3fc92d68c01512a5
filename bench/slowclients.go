package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

// slowBench is single events alone, and beside connections that send, or read, a
// byte a second.
type slowBench struct {
	binary      string
	settings    []string
	slow        int
	connections int
	seconds     int
	rounds      int
}

func newSlowClients(wrap wrapper) *cobra.Command {
	var b slowBench
	cmd := &cobra.Command{
		Use:   "slowclients",
		Short: "single events alone and beside 1,000 connections that send a byte a second",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the server's `file`")
	cmd.Flags().StringArrayVar(&b.settings, "set", nil, "a setting of the server, KEY=VALUE; may be repeated")
	cmd.Flags().IntVar(&b.slow, "slow", 1000, "slow connections")
	cmd.Flags().IntVar(&b.connections, "connections", 16, "connections of single events")
	cmd.Flags().IntVar(&b.seconds, "seconds", 12, "how long each measurement takes")
	cmd.Flags().IntVar(&b.rounds, "rounds", 5, "measurements of each")
	return cmd
}

func (b *slowBench) run(ctx context.Context, r *report) (err error) {
	s, err := startServer(ctx, b.binary, append([]string{"log.requests=false"}, b.settings...)...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.note(ctx, r); err != nil {
		return err
	}
	var (
		load         fairnessBench
		alone, among singles
		before       []time.Duration // p99 of each round
		beside       []time.Duration
		reopened     int64
	)
	each := time.Duration(b.seconds) * time.Second
	measure := func(into *singles, p99s *[]time.Duration) error {
		got, err := load.stream(ctx, s, b.connections, each, false, nil)
		if err != nil {
			return err
		}
		into.latencies = append(into.latencies, got.latencies...)
		into.took += got.took
		into.failed += got.failed
		*p99s = append(*p99s, got.latencies.quantile(0.99))
		return nil
	}
	if _, err := load.stream(ctx, s, b.connections, time.Second, false, nil); err != nil { // warm
		return err
	}
	for range b.rounds {
		if err := measure(&alone, &before); err != nil {
			return err
		}
		crowd := gather(ctx, s, b.slow)
		err := errors.Join(crowd.complete(ctx, s), measure(&among, &beside), crowd.complete(ctx, s))
		reopened += crowd.leave()
		if err != nil {
			return err
		}
	}
	mib, err := s.peakMemory()
	if err != nil {
		return err
	}
	r.linef("\nSingle events from %d connections, each sends its next when the last is answered: %d times %s alone, and each time as long beside %d connections that send a byte a second: a third of headers, a third of a body of 10 MB, a third read an answer so. Those that the server gave up came again (%d times).",
		b.connections, b.rounds, each, b.slow, reopened)
	r.table(singleHead, [][]string{alone.row("alone"), among.row(fmt.Sprintf("beside %d slow ones", b.slow))})
	ratios := make([]float64, len(before))
	for i := range before {
		ratios[i] = float64(beside[i]) / float64(before[i])
	}
	slices.Sort(ratios)
	r.linef("p99 beside over p99 alone: %s over all, median of the rounds %.2f (%.2f to %.2f); goal: at most 2. The server's process held at most %.0f MiB.",
		ratio(among.latencies.quantile(0.99), alone.latencies.quantile(0.99)), ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], mib)
	return nil
}

// crowd is connections that are kept open and slow until they leave.
type crowd struct {
	size     int
	stop     context.CancelFunc
	all      sync.WaitGroup
	reopened atomic.Int64
}

// gather opens n of them.
func gather(ctx context.Context, s *server, n int) *crowd {
	c := &crowd{size: n}
	ctx, c.stop = context.WithCancel(ctx)
	address := strings.TrimPrefix(s.URL, "http://")
	head := "POST /api/v1/webhooks/lead-events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + s.APIKey + "\r\n"
	for i := range n {
		c.all.Go(func() {
			for {
				var err error
				switch i % 3 {
				case 0:
					err = trickle(ctx, address, "POST /api/v1/webhooks/lead-events HTTP/1.1\r\nHost: x\r\nX-Slow: ")
				case 1:
					err = trickle(ctx, address, head+"Content-Length: 10000000\r\n\r\n")
				default:
					err = sip(ctx, address)
				}
				if ctx.Err() != nil {
					return
				}
				if err == nil || c.reopened.Add(1) > int64(100*n) {
					return // the server let it finish, or lets nobody in: complete tells
				}
			}
		})
	}
	return c
}

// complete waits until the server has them all.
func (c *crowd) complete(ctx context.Context, s *server) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		series, err := s.metrics()
		if err != nil {
			return err
		}
		// Those that were told 408 and go on sending are read from for a while. A few
		// may just be coming again.
		open := series["leadevents_http_connections"] + series["leadevents_http_lingering_connections"]
		if open >= 0.95*float64(c.size) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server has only %.0f connections: the slow ones are not there", open)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// leave closes them and says how often one was opened again.
func (c *crowd) leave() int64 {
	c.stop()
	c.all.Wait()
	return c.reopened.Load()
}

// slowly opens a connection, sends the beginning and does step every second, each
// connection at a moment of its own, until a step fails or ctx ends.
func slowly(ctx context.Context, address, beginning string, step func(net.Conn) error) error {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	if err := nc.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil { // so that the kernel does not read ahead
		return err
	}
	if _, err := io.WriteString(nc, beginning); err != nil {
		return err
	}
	wait := time.NewTimer(rand.N(time.Second))
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait.C:
			wait.Reset(time.Second)
		}
		if err := step(nc); err != nil {
			return err
		}
	}
}

// trickle sends a byte a second.
func trickle(ctx context.Context, address, beginning string) error {
	return slowly(ctx, address, beginning, func(nc net.Conn) error {
		_, err := nc.Write([]byte{'x'})
		return err
	})
}

// sip asks for more than the kernel's buffers hold, and reads a byte a second.
func sip(ctx context.Context, address string) error {
	ask := strings.Repeat("GET /api/v1/openapi.yaml HTTP/1.1\r\nHost: x\r\n\r\n", 100)
	return slowly(ctx, address, ask, func(nc net.Conn) error {
		_, err := io.ReadFull(nc, make([]byte, 1))
		return err
	})
}
