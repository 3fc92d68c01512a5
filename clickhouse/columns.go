package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
)

// columnQuery is a question whose answer is long: it is read by whole columns, a
// block at a time, which costs 1 ns a number where the Scan of a row costs 70. So
// millions of rows are read with ch-go, everything else with clickhouse-go.
type columnQuery struct {
	text       string
	parameters clickhouse.Parameters // as clickhouse.WithParameters takes them
	settings   clickhouse.Settings
	external   []ch.ExternalTable
	// into are the answer's columns. block hears that they hold the next rows; it
	// must not keep them. While it takes its time the server waits.
	into  proto.Results
	block func() error
}

// columns runs a query and hands its answer on. Each has a connection of its own,
// a millisecond that long answers do not notice; it is not counted in Generation:
// an answer that rests on what a rebuild of the ledger reads here is confirmed over the others.
func (db *DB) columns(ctx context.Context, q columnQuery) error {
	conn, err := db.dialAny(ctx)
	if err != nil {
		return unavailable(fmt.Errorf("connect for a long answer: %w", err))
	}
	// The end of the context ends what waits on the connection, and the server ends
	// the query when it is gone. (ch-go would notice it after the next packet.)
	var once sync.Once
	end := func() { once.Do(func() { _ = conn.Close() }) }
	defer end()
	defer context.AfterFunc(ctx, end)()

	options := ch.Options{Database: db.database, User: db.user, Password: db.password}
	if db.compress {
		options.Compression = ch.CompressionLZ4
	}
	client, err := ch.Connect(ctx, &impatientConn{conn, db.readTimeout}, options)
	if err != nil {
		return unavailable(fmt.Errorf("connect for a long answer: %w", known(err)))
	}
	var failed error // of block
	query := ch.Query{
		Body: q.text, Result: q.into, ExternalTables: q.external,
		OnResult: func(context.Context, proto.Block) error {
			failed = q.block()
			return failed
		},
	}
	for name, value := range q.parameters {
		query.Parameters = append(query.Parameters, proto.Parameter{Key: name, Value: "'" + quotedEscapes.Replace(value) + "'"})
	}
	for name, value := range q.settings {
		query.Settings = append(query.Settings, setting(name, value))
	}
	if deadline, ok := ctx.Deadline(); ok {
		query.Settings = append(query.Settings, setting("max_execution_time", math.Ceil(time.Until(deadline).Seconds())))
	}
	err = client.Do(ctx, query)
	switch {
	case failed != nil:
		return failed
	case err != nil:
		return unavailable(fmt.Errorf("read a long answer: %w", errors.Join(ctx.Err(), known(err))))
	}
	return nil
}

func setting(name string, value any) ch.Setting {
	return ch.Setting{Key: name, Value: fmt.Sprint(value), Important: true}
}

// known makes an exception that ch-go read one of clickhouse-go's, which the rest
// of the package knows.
func known(err error) error {
	if e, ok := errors.AsType[*ch.Exception](err); ok {
		return &clickhouse.Exception{Code: int32(e.Code), Name: e.Name, Message: e.Message}
	}
	return err
}

// dialAny connects to the first server that answers.
func (db *DB) dialAny(ctx context.Context) (net.Conn, error) {
	var failures []error
	for _, addr := range db.addrs {
		conn, err := db.dial(ctx, addr)
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

// impatientConn bounds every wait for the server: one that works says so ten times
// a second. ch-go bounds the wait for a packet, but not for the rest of it, and
// takes a time-out for a reason to wait again.
type impatientConn struct {
	net.Conn
	patience time.Duration
}

// Read implements net.Conn.
func (c *impatientConn) Read(p []byte) (int, error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("nothing was heard for %s", c.patience) // and no net.Error
	}
	return n, err
}

// SetReadDeadline implements net.Conn: Read sets its own.
func (c *impatientConn) SetReadDeadline(time.Time) error { return nil }

// phoneColumn is a table that travels with a query: phones, in a column of that
// name.
func phoneColumn(table string, phones []uint64) ch.ExternalTable {
	column := proto.ColUInt64(phones)
	return ch.ExternalTable{Name: table, Data: []proto.InputColumn{{Name: "phone", Data: &column}}}
}
