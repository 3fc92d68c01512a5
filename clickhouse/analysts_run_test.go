package clickhouse

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"leadevents"
	"leadevents/clickhouse/analyst"
)

// A server that cannot be reached is no statement that took too long: the wait for a
// connection has a limit of its own.
func TestAServerOutOfReachIsNotTheStatementsTimeLimit(t *testing.T) {
	db, err := Open(Config{
		Addrs: []string{"127.0.0.1:1"}, DialTimeout: time.Millisecond,
		Analysts: AnalystConfig{HTTPAddrs: []string{"127.0.0.1:1"}, Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.analysts.accounts[7] = &madeAccount{at: time.Now()}
	kinds := func(ctx context.Context) (explained, run leadevents.Kind) {
		_, err := db.Analysts().Explain(ctx, 7, "SELECT 1", nil)
		explained = leadevents.KindOf(err)
		_, err = db.Analysts().Run(ctx, 7, analyst.Query{ID: "sql-1", Text: "SELECT 1", Format: "JSON"}, io.Discard)
		return explained, leadevents.KindOf(err)
	}
	inTime, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if explained, run := kinds(inTime); explained != leadevents.Unavailable || run != leadevents.Unavailable {
		t.Errorf("a server out of reach: %v, %v", explained, run)
	}
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if explained, run := kinds(late); explained != leadevents.QueryLimit || run != leadevents.QueryLimit {
		t.Errorf("after the statement's time: %v, %v", explained, run)
	}
}
