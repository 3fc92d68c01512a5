package schema

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// The two refusals of [Migrate] that a retry cannot cure.
var (
	// ErrChanged: a migration that the database has applied reads differently
	// in this binary.
	ErrChanged = errors.New("an applied migration has changed")
	// ErrNewer: the database has a migration that this binary does not know.
	ErrNewer = errors.New("the database is newer than this binary")
)

// DefaultStatementTimeout bounds one statement of a migration. Creating a table
// takes milliseconds; a server that needs a minute for one is in trouble, and
// running the migration again is always safe.
const DefaultStatementTimeout = time.Minute

// Option changes how [Migrate] runs.
type Option func(*migrator)

// WithLogger reports each migration applied.
func WithLogger(log *slog.Logger) Option { return func(m *migrator) { m.log = log } }

// WithStatementTimeout bounds one statement, instead of [DefaultStatementTimeout].
func WithStatementTimeout(d time.Duration) Option { return func(m *migrator) { m.timeout = d } }

type migrator struct {
	conn     driver.Conn
	database string
	log      *slog.Logger
	timeout  time.Duration
}

// Migrate creates the database if it is missing and applies the migrations of
// this binary that it does not have yet, in order. It may be run at any time,
// again after any interruption, and by several processes at once.
//
// It fails without changing anything with [ErrChanged] or [ErrNewer] in the
// error's chain. Any other error is the store's, and running it again is safe.
func Migrate(ctx context.Context, conn driver.Conn, database string, opts ...Option) error {
	migrations, err := Migrations()
	if err != nil {
		return err
	}
	return migrate(ctx, conn, database, migrations, opts...)
}

func migrate(ctx context.Context, conn driver.Conn, database string, migrations []Migration, opts ...Option) error {
	m := migrator{conn: conn, database: database, log: slog.New(slog.DiscardHandler), timeout: DefaultStatementTimeout}
	for _, opt := range opts {
		opt(&m)
	}
	if err := m.exec(ctx, "CREATE DATABASE IF NOT EXISTS {database:Identifier}", nil); err != nil {
		return fmt.Errorf("create database %s: %w", database, err)
	}
	if err := m.exec(ctx, createRecords, nil); err != nil {
		return fmt.Errorf("create table %s.schema_migrations: %w", database, err)
	}
	have, err := m.records(ctx)
	if err != nil {
		return err
	}
	// All refusals come before the first change.
	states := compare(migrations, have)
	if err := refusal(database, states); err != nil {
		return err
	}
	for i, mig := range migrations {
		if states[i].State == Applied {
			continue
		}
		began := time.Now()
		for n, statement := range mig.statements {
			if err := m.exec(ctx, statement, nil); err != nil {
				return fmt.Errorf("apply migration %s, statement %d of %d: %w", mig.Name, n+1, len(mig.statements), err)
			}
		}
		// Only now: what is recorded has been applied whole.
		if err := m.record(ctx, mig); err != nil {
			return fmt.Errorf("record migration %s: %w", mig.Name, err)
		}
		m.log.InfoContext(ctx, "migration applied", "database", database, "migration", mig.Name, "took", time.Since(began))
	}
	return nil
}

// exec runs one statement with its own deadline. async_insert is off because
// servers from 26.2 on have it on, and a record must be stored when we are told so.
func (m *migrator) exec(ctx context.Context, statement string, params clickhouse.Parameters) error {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	return m.conn.Exec(m.queryContext(ctx, params), statement)
}

func (m *migrator) queryContext(ctx context.Context, params clickhouse.Parameters) context.Context {
	all := clickhouse.Parameters{"database": m.database}
	for name, value := range params {
		all[name] = value
	}
	return clickhouse.Context(ctx,
		clickhouse.WithParameters(all),
		clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0}))
}
