package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents/internal/loadgen"
)

// horizonSeconds is the EX of the floor's keys: the default horizon of 72 hours.
const horizonSeconds = "259200"

// floor is the least that storing and remembering 50,000 keys can cost with
// these two stores: no JSON, no HTTP, no phones, no counts that hold.
type floor struct {
	redis *wire
	conn  driver.Conn
}

// openFloor connects to the server's own stores: a database beside its own with
// the same tables and view, and the same Redis.
func openFloor(ctx context.Context, s *server) (*floor, error) {
	redis, err := dialRedis(ctx, s.Redis.Addr, s.Redis.Password)
	if err != nil {
		return nil, err
	}
	outside, err := connectClickHouse(s.ClickHouse.Native, s.ClickHouse.User, s.ClickHouse.Password, s.ClickHouse.Database)
	if err != nil {
		return nil, errors.Join(err, redis.Close())
	}
	defer outside.Close()
	if err := createDatabase(ctx, outside, floorDatabase); err != nil {
		return nil, errors.Join(err, redis.Close())
	}
	conn, err := connectClickHouse(s.ClickHouse.Native, s.ClickHouse.User, s.ClickHouse.Password, floorDatabase)
	return &floor{redis, conn}, err
}

func (f *floor) close() error { return errors.Join(f.redis.Close(), f.conn.Close()) }

// plainKey is an event's key as a plain Redis key: prefix, organization, event
// type with its length, phone and ms, as short as exact bytes can be.
func plainKey(b []byte, g *loadgen.Generator, e *loadgen.Event) []byte {
	b = append(b, "le:"...)
	b = binary.BigEndian.AppendUint64(b, uint64(g.Config().Org))
	b = append(b, byte(len(e.EventType)))
	b = append(b, e.EventType...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Phone))
	return binary.BigEndian.AppendUint64(b, uint64(e.OccurredAt))
}

// sets writes the commands for one call's keys, and returns the sending of them.
func (f *floor) sets(g *loadgen.Generator, batch uint64) func(context.Context) error {
	var (
		commands, key []byte
		token         [8]byte
		e             loadgen.Event
	)
	for i := range uint64(callRows) {
		g.Event(batch*callRows+i, &e)
		key = plainKey(key[:0], g, &e)
		binary.BigEndian.PutUint64(token[:], uint64(e.Batch))
		commands = appendCommand(commands, "SET", string(key), string(token[:]), "NX", "GET", "EX", horizonSeconds)
	}
	return func(context.Context) error {
		present, err := f.redis.pipeline(commands, callRows)
		if err == nil && present > callRows/100 {
			err = fmt.Errorf("%d of the floor's keys were there already", present)
		}
		return err
	}
}

// columns are the rows of one call, in the order of loadgen.Columns.
func columns(g *loadgen.Generator, batch uint64) []any {
	var (
		orgs, phones, batches = make([]uint64, callRows), make([]uint64, callRows), make([]uint64, callRows)
		at, ingested          = make([]int64, callRows), make([]int64, callRows)
		types, metadata       = make([]string, callRows), make([]string, callRows)
		e                     loadgen.Event
	)
	for i := range callRows {
		g.Event(batch*callRows+uint64(i), &e)
		orgs[i], phones[i], batches[i] = uint64(g.Config().Org), uint64(e.Phone), uint64(e.Batch)
		at[i], ingested[i] = int64(e.OccurredAt), int64(e.Arrived)
		types[i], metadata[i] = e.EventType, string(e.Metadata)
	}
	return []any{orgs, types, phones, at, metadata, ingested, batches}
}

// insert makes one call's columns, and returns the insert of them: one block,
// with the settings that are fastest.
func (f *floor) insert(g *loadgen.Generator, batch uint64) func(context.Context) error {
	values := columns(g, batch)
	return func(ctx context.Context) error {
		ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
			"async_insert": 0, "low_cardinality_allow_in_native_format": 0,
		}))
		prepared, err := f.conn.PrepareBatch(ctx, "INSERT INTO lead_events ("+loadgen.Columns+")")
		if err != nil {
			return err
		}
		for i, column := range values {
			if err := prepared.Column(i).Append(column); err != nil {
				return err
			}
		}
		return prepared.Send()
	}
}
