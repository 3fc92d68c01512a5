package embedded_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"leadevents/clickhouse/embedded"
)

// resetting closes as a killed client does: with a reset, and not in order.
type resetting struct{ *net.TCPConn }

func (c resetting) Close() error {
	_ = c.SetLinger(0)
	return c.TCPConn.Close()
}

func dialResetting(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return resetting{conn.(*net.TCPConn)}, nil
}

// A client that is killed in the middle of a query resets its connection. The engine
// does not end for that: it did, wherever the reset met it reading.
func TestClientsThatResetTheirConnectionsDoNotEndTheEngine(t *testing.T) {
	for name, once := range map[string]func(ctx context.Context, e embedded.Endpoint){
		"native": func(ctx context.Context, e embedded.Endpoint) {
			conn, err := clickhouse.Open(&clickhouse.Options{
				Addr: []string{e.Native}, DialContext: dialResetting, DialTimeout: 5 * time.Second, MaxOpenConns: 1,
				Auth: clickhouse.Auth{Database: "shop", Username: e.User, Password: e.Password},
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			rows, err := conn.Query(ctx, "SELECT number FROM numbers(200000)")
			if err != nil {
				return // the time was over
			}
			if !rows.Next() {
				return
			}
			<-ctx.Done() // by now the engine has written everything, and reads
			for rows.Next() {
			}
			_ = rows.Close()
		},
		"HTTP": func(ctx context.Context, e embedded.Endpoint) {
			conn, err := dialResetting(ctx, e.HTTP)
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			deadline, _ := ctx.Deadline()
			_ = conn.SetDeadline(deadline)
			for {
				const query = "SELECT number FROM numbers(300000)"
				fmt.Fprintf(conn, "POST /?http_wait_end_of_query=1 HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: %s\r\nX-ClickHouse-Key: %s\r\nContent-Length: %d\r\n\r\n%s", e.User, e.Password, len(query), query)
				if _, err := conn.Read(make([]byte, 64<<10)); err != nil {
					return
				}
				if rand.IntN(2) == 0 {
					<-ctx.Done()
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t, config(t.TempDir()))
			before := server.Endpoint().PID
			var clients sync.WaitGroup
			for range 4 {
				clients.Go(func() {
					for range 100 {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(20*time.Millisecond))))
						once(ctx, server.Endpoint())
						cancel()
					}
				})
			}
			clients.Wait()
			fill(t, connect(t, server.Endpoint()))
			if after := server.Endpoint().PID; after != before {
				t.Errorf("the engine was started again: process %d, before %d", after, before)
			}
		})
	}
}
