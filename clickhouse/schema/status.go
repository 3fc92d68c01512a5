package schema

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// State is how a migration stands in a database.
type State string

// The states of a migration.
const (
	Pending State = "pending" // this binary has it, the database not yet
	Applied State = "applied" // both have it, with the same text
	Changed State = "changed" // both have it, with different texts
	Unknown State = "unknown" // the database has it, this binary does not: the binary is older
)

// MigrationStatus is one migration as this binary and the database see it.
type MigrationStatus struct {
	Version   int
	Name      string
	State     State
	Checksum  string    // of the text in this binary; of the recorded text where State is Unknown
	AppliedAt time.Time // when first recorded; zero where State is Pending
}

// Status tells how every migration of this binary and of the database stands,
// by number, without changing anything. A database that does not exist, or was
// never migrated, has all of them pending.
func Status(ctx context.Context, conn driver.Conn, database string) ([]MigrationStatus, error) {
	migrations, err := Migrations()
	if err != nil {
		return nil, err
	}
	m := migrator{conn: conn, database: database, timeout: DefaultStatementTimeout}
	var tables uint64
	row := conn.QueryRow(m.queryContext(ctx, nil),
		"SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'")
	if err := row.Scan(&tables); err != nil {
		return nil, fmt.Errorf("look for table %s.schema_migrations: %w", database, err)
	}
	var have []record
	if tables > 0 {
		if have, err = m.records(ctx); err != nil {
			return nil, err
		}
	}
	return compare(migrations, have), nil
}

// createRecords keeps one row per migration and text: two processes that apply
// the same file at once write two rows that are one, while two different texts
// under one number stay visible side by side.
const createRecords = `
CREATE TABLE IF NOT EXISTS {database:Identifier}.schema_migrations
(
    version    UInt32,
    name       String,
    checksum   String,
    applied_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (version, checksum)`

type record struct {
	version   int
	name      string
	checksum  string
	appliedAt time.Time
}

func (m *migrator) record(ctx context.Context, mig Migration) error {
	return m.exec(ctx, `
INSERT INTO {database:Identifier}.schema_migrations (version, name, checksum, applied_at)
SELECT {version:UInt32}, {name:String}, {checksum:String}, now64(3)`,
		clickhouse.Parameters{"version": strconv.Itoa(mig.Version), "name": mig.Name, "checksum": mig.Checksum})
}

func (m *migrator) records(ctx context.Context) ([]record, error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	rows, err := m.conn.Query(m.queryContext(ctx, nil), `
SELECT version, any(name), checksum, min(applied_at)
FROM {database:Identifier}.schema_migrations
GROUP BY version, checksum
ORDER BY version, checksum`)
	if err != nil {
		return nil, fmt.Errorf("read table %s.schema_migrations: %w", m.database, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err below tells what went wrong
	var records []record
	for rows.Next() {
		var r record
		var version uint32
		if err := rows.Scan(&version, &r.name, &r.checksum, &r.appliedAt); err != nil {
			return nil, fmt.Errorf("read table %s.schema_migrations: %w", m.database, err)
		}
		r.version = int(version)
		records = append(records, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read table %s.schema_migrations: %w", m.database, err)
	}
	return records, nil
}

// compare lists this binary's migrations in order, then those that only the
// database has. A number recorded with two texts is Changed, whichever of them
// this binary has: nobody can say which tables it left.
func compare(migrations []Migration, have []record) []MigrationStatus {
	states := make([]MigrationStatus, len(migrations))
	for i, mig := range migrations {
		states[i] = MigrationStatus{Version: mig.Version, Name: mig.Name, State: Pending, Checksum: mig.Checksum}
	}
	for _, r := range have {
		if r.version < 1 || r.version > len(migrations) {
			states = append(states, MigrationStatus{
				Version: r.version, Name: r.name, State: Unknown, Checksum: r.checksum, AppliedAt: r.appliedAt,
			})
			continue
		}
		s := &states[r.version-1]
		if s.AppliedAt.IsZero() || r.appliedAt.Before(s.AppliedAt) {
			s.AppliedAt = r.appliedAt
		}
		switch {
		case r.checksum != s.Checksum:
			s.State = Changed
		case s.State == Pending:
			s.State = Applied
		}
	}
	slices.SortStableFunc(states, func(a, b MigrationStatus) int { return a.Version - b.Version })
	return states
}

// refusal is the error for the first state that forbids migrating, nil without one.
// "Newer" is told first: a newer binary may also be the one whose text is right.
func refusal(database string, states []MigrationStatus) error {
	for _, s := range slices.Backward(states) {
		if s.State == Unknown {
			return fmt.Errorf("%w: database %s has migration %s (number %d), which this binary does not know; upgrade the leadevents binary to the version that last migrated this database",
				ErrNewer, database, s.Name, s.Version)
		}
	}
	for _, s := range states {
		if s.State == Changed {
			return fmt.Errorf("%w: database %s applied %s on %s with another text than this binary has (checksum %.12s…); migrations are append-only, use the binary that belongs to this database or restore the file",
				ErrChanged, database, s.Name, s.AppliedAt.UTC().Format(time.RFC3339), s.Checksum)
		}
	}
	return nil
}
