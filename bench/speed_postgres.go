package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"leadevents/internal/loadgen"
)

// postgresRows are stored in PostgreSQL before, however many we have.
const postgresRows = 5_000_000

// speedPostgresTable is loaded before it gets its index, as PostgreSQL's manual advises
// ("Populating a Database"). The key is the smallest that keeps events apart.
const speedPostgresTable = `CREATE TABLE lead_events (organization_id bigint NOT NULL, event_type text NOT NULL, phone bigint NOT NULL,
	occurred_at timestamptz NOT NULL, metadata text NOT NULL, ingested_at timestamptz NOT NULL, batch_id bigint NOT NULL)`

const speedPostgresIndex = `CREATE UNIQUE INDEX lead_events_key ON lead_events (organization_id, event_type, phone, occurred_at);
VACUUM (ANALYZE) lead_events;
CHECKPOINT;`

// The session does not wait for the disk at a commit, since our stores do not by default.
const speedPostgresSession = `SET synchronous_commit = off;
CREATE TEMPORARY TABLE incoming (LIKE lead_events) ON COMMIT DELETE ROWS;`

// enterPostgres starts a PostgreSQL with rows of its own, and sends it calls as its users
// do: COPY in its binary format into a temporary table, then one INSERT of what is new.
func (w *speedWorld) enterPostgres(ctx context.Context) (func(int) (trial, error), error) {
	p, err := startPostgres(ctx, w.report)
	if err != nil {
		return nil, err
	}
	w.onLeave(p.stop)
	if _, err := p.ask(ctx, speedPostgresTable); err != nil {
		return nil, err
	}
	e := w.stand.engine.Endpoint()
	from := clickHouseHTTP{e.HTTP, "default", e.User, e.Password}
	sql := "SELECT organization_id, event_type, phone, toString(occurred_at), metadata, toString(ingested_at), batch_id FROM (" + w.old.SelectSQL(0, postgresRows) + ")"
	if err := p.copyFrom(ctx, "lead_events", from, sql); err != nil {
		return nil, err
	}
	for _, statement := range statements(speedPostgresIndex) {
		if _, err := p.ask(ctx, statement); err != nil {
			return nil, err
		}
	}
	conn, err := pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%s user=bench dbname=postgres sslmode=disable", p.port))
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	w.onLeave(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		return conn.Close(ctx)
	})
	for _, statement := range statements(speedPostgresSession) {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return nil, fmt.Errorf("prepare PostgreSQL's session: %w", err)
		}
	}
	return func(round int) (trial, error) {
		batch := uint64(liveCalls + round)
		rows := make([][]any, callRows)
		for i := range rows {
			var e loadgen.Event
			w.live.Event(batch*callRows+uint64(i), &e)
			rows[i] = []any{int64(speedOrg), e.EventType, int64(e.Phone), e.OccurredAt.Time(), string(e.Metadata), e.Arrived.Time(), int64(e.Batch)}
		}
		want, _, _ := w.live.Counts(batch*callRows, callRows)
		var a answer
		return trial{
			run:   func(ctx context.Context) (err error) { a, err = postgresCall(ctx, conn, rows); return err },
			check: func() error { return a.allNew(want) },
		}, nil
	}, nil
}

var postgresColumns = []string{"organization_id", "event_type", "phone", "occurred_at", "metadata", "ingested_at", "batch_id"}

// postgresCall stores what is new of a call, in one transaction, and counts.
func postgresCall(ctx context.Context, conn *pgx.Conn, rows [][]any) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return a, fmt.Errorf("begin in PostgreSQL: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback(ctx))
		}
	}()
	received, err := tx.CopyFrom(ctx, pgx.Identifier{"incoming"}, postgresColumns, pgx.CopyFromRows(rows))
	if err != nil {
		return a, fmt.Errorf("copy into PostgreSQL: %w", err)
	}
	done, err := tx.Exec(ctx, "INSERT INTO lead_events SELECT * FROM incoming ON CONFLICT DO NOTHING")
	if err != nil {
		return a, fmt.Errorf("insert into PostgreSQL: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return a, fmt.Errorf("commit in PostgreSQL: %w", err)
	}
	return answer{Received: int(received), Inserted: int(done.RowsAffected()), Duplicates: int(received - done.RowsAffected())}, nil
}
