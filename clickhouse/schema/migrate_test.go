package schema

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"leadevents/internal/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// connect opens a connection whose own database is another one: Migrate must
// not lean on it.
func connect(t *testing.T, store storetest.ClickHouseStore) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{store.Native},
		Auth: clickhouse.Auth{Database: "system", Username: store.User, Password: store.Password},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// made is migrations from texts, numbered in their order.
func made(t *testing.T, texts ...string) []Migration {
	t.Helper()
	files := fstest.MapFS{}
	for i, text := range texts {
		files[fmt.Sprintf("migrations/%04d_m.sql", i+1)] = &fstest.MapFile{Data: []byte(text)}
	}
	migrations, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	return migrations
}

func tables(t *testing.T, conn driver.Conn, database string) string {
	t.Helper()
	var names string
	err := conn.QueryRow(t.Context(),
		"SELECT arrayStringConcat(arraySort(groupArray(name)), ' ') FROM system.tables WHERE database = ?", database).Scan(&names)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func states(t *testing.T, conn driver.Conn, database string) (all []State) {
	t.Helper()
	status, err := Status(t.Context(), conn, database)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range status {
		all = append(all, s.State)
	}
	return all
}

func repeat(s State, n int) []State {
	all := make([]State, n)
	for i := range all {
		all[i] = s
	}
	return all
}

const (
	tableA = "CREATE TABLE IF NOT EXISTS {database:Identifier}.a (x UInt8) ENGINE = MergeTree ORDER BY x;"
	tableB = "CREATE TABLE IF NOT EXISTS {database:Identifier}.b (x UInt8) ENGINE = MergeTree ORDER BY x;"
	tableC = "CREATE TABLE IF NOT EXISTS {database:Identifier}.c (x UInt8) ENGINE = MergeTree ORDER BY x;"
)

func TestMigrateCreatesTheDatabaseAndMayRunAgain(t *testing.T) {
	store := storetest.ClickHouse(t)
	conn := connect(t, store)
	database := store.Database + "_new"
	t.Cleanup(func() {
		if err := conn.Exec(context.Background(), "DROP DATABASE "+database); err != nil {
			t.Error(err)
		}
	})
	migrations, err := Migrations()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(repeat(Pending, len(migrations)), states(t, conn, database)); diff != "" {
		t.Errorf("before: -want +got:\n%s", diff)
	}
	for range 2 {
		if err := Migrate(t.Context(), conn, database); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(repeat(Applied, len(migrations)), states(t, conn, database)); diff != "" {
			t.Errorf("after: -want +got:\n%s", diff)
		}
	}
	var records uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM "+database+".schema_migrations").Scan(&records); err != nil {
		t.Fatal(err)
	}
	if records != uint64(len(migrations)) {
		t.Errorf("%d records of %d migrations: the second run recorded again", records, len(migrations))
	}
}

func TestTwoProcessesMigrateAtOnce(t *testing.T) {
	store := storetest.ClickHouse(t)
	group, ctx := errgroup.WithContext(t.Context())
	for range 4 {
		conn := connect(t, store)
		group.Go(func() error { return Migrate(ctx, conn, store.Database) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, store)
	for _, s := range states(t, conn, store.Database) {
		if s != Applied {
			t.Errorf("a migration is %s after concurrent runs", s)
		}
	}
	if err := Migrate(t.Context(), conn, store.Database); err != nil {
		t.Errorf("a run after concurrent runs: %v", err)
	}
}

func TestAnInterruptedMigrationIsRunAgainWhole(t *testing.T) {
	store := storetest.ClickHouse(t)
	conn := connect(t, store)
	// The second statement fails: what a crash between the two leaves behind.
	broken := made(t, tableA, tableB+"\nCREATE TABLE IF NOT EXISTS {database:Identifier}.c (x Nonsense) ENGINE = MergeTree ORDER BY x;")
	err := migrate(t.Context(), conn, store.Database, broken)
	if err == nil || !strings.Contains(err.Error(), "apply migration 0002_m.sql, statement 2 of 2") {
		t.Fatalf("got error %v, want one naming the file and the statement", err)
	}
	if got, want := tables(t, conn, store.Database), "a b schema_migrations"; got != want {
		t.Fatalf("the interruption left tables %q, want %q", got, want)
	}
	// Not recorded, so the file may even be mended before the next run.
	if err := migrate(t.Context(), conn, store.Database, made(t, tableA, tableB+"\n"+tableC)); err != nil {
		t.Fatal(err)
	}
	if got, want := tables(t, conn, store.Database), "a b c schema_migrations"; got != want {
		t.Errorf("tables are %q, want %q", got, want)
	}
}

func TestACancelledRunCanBeRepeated(t *testing.T) {
	store := storetest.ClickHouse(t)
	conn := connect(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Migrate(ctx, conn, store.Database); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the context's error", err)
	}
	if err := Migrate(t.Context(), conn, store.Database); err != nil {
		t.Error(err)
	}
}

func TestOnlyNewMigrationsAreApplied(t *testing.T) {
	store := storetest.ClickHouse(t)
	conn := connect(t, store)
	if err := migrate(t.Context(), conn, store.Database, made(t, tableA)); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(t.Context(), "DROP TABLE "+store.Database+".a"); err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), conn, store.Database, made(t, tableA, tableB)); err != nil {
		t.Fatal(err)
	}
	if got, want := tables(t, conn, store.Database), "b schema_migrations"; got != want {
		t.Errorf("tables are %q, want %q: 0001 was applied again", got, want)
	}
}

func TestAChangedMigrationIsRefusedByName(t *testing.T) {
	store := storetest.ClickHouse(t)
	conn := connect(t, store)
	if err := migrate(t.Context(), conn, store.Database, made(t, tableA)); err != nil {
		t.Fatal(err)
	}
	err := migrate(t.Context(), conn, store.Database, made(t, tableA+" ", tableB))
	if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "0001_m.sql") {
		t.Errorf("got %v, want ErrChanged naming 0001_m.sql", err)
	}
	if got, want := tables(t, conn, store.Database), "a schema_migrations"; got != want {
		t.Errorf("tables are %q, want %q: the refusal came after a change", got, want)
	}
}

func TestTwoTextsUnderOneNumberAreRefusedByBoth(t *testing.T) {
	store := storetest.ClickHouse(t)
	conn := connect(t, store)
	m := migrator{conn: conn, database: store.Database, timeout: DefaultStatementTimeout}
	one, other := made(t, tableA), made(t, tableA+" ")
	if err := migrate(t.Context(), conn, store.Database, one); err != nil {
		t.Fatal(err)
	}
	// Another binary read the records before the first wrote its own.
	if err := m.record(t.Context(), other[0]); err != nil {
		t.Fatal(err)
	}
	for _, migrations := range [][]Migration{one, other} {
		if err := migrate(t.Context(), conn, store.Database, migrations); !errors.Is(err, ErrChanged) {
			t.Errorf("got %v, want ErrChanged", err)
		}
	}
}

func TestANewerDatabaseIsRefused(t *testing.T) {
	store := storetest.ClickHouse(t)
	conn := connect(t, store)
	if err := Migrate(t.Context(), conn, store.Database); err != nil {
		t.Fatal(err)
	}
	migrations, err := Migrations()
	if err != nil {
		t.Fatal(err)
	}
	m := migrator{conn: conn, database: store.Database, timeout: DefaultStatementTimeout}
	newer := Migration{Version: len(migrations) + 1, Name: "0999_later.sql", Checksum: "abc"}
	if err := m.record(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	err = Migrate(t.Context(), conn, store.Database)
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "0999_later.sql") || !strings.Contains(err.Error(), "upgrade the leadevents binary") {
		t.Errorf("got %v, want ErrNewer naming the migration and the remedy", err)
	}
	if diff := cmp.Diff(append(repeat(Applied, len(migrations)), Unknown), states(t, conn, store.Database)); diff != "" {
		t.Errorf("status: -want +got:\n%s", diff)
	}
}
