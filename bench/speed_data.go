package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"leadevents"
	store "leadevents/clickhouse"
	"leadevents/clickhouse/schema"
	"leadevents/internal/loadgen"
)

// The stored rows lie in databases of their own, which nobody writes to: each run
// has new databases, to which their parts are linked.
const (
	storedDatabase = "speed_stored"
	fewDatabase    = "speed_few"
	speedDatabase  = "speed"
	smallDatabase  = "speed_small"
)

// storedMark is what a folder is marked with that holds the stored rows.
type storedMark struct {
	Rows uint64
	Now  leadevents.Millis
}

// generator makes events of the pool of leads that also have the stored ones.
func (w *speedWorld) generator(times loadgen.Times) (*loadgen.Generator, error) {
	return loadgen.New(loadgen.Config{Seed: speedSeed, Org: speedOrg, Leads: w.rows / 10, Times: times})
}

// history is the years of old events, in no order, that arrived long ago.
func (w *speedWorld) history() loadgen.Times {
	times := loadgen.History(w.since, speedYears, 0)
	times.ArrivedFrom = w.since.Add(-30 * 24 * time.Hour)
	return times
}

// stored makes the databases of stored rows, unless the folder has them already.
func (w *speedWorld) stored(ctx context.Context, mark string) error {
	text, err := os.ReadFile(mark)
	switch {
	case err == nil:
		var has storedMark
		if err := json.Unmarshal(text, &has); err != nil {
			return fmt.Errorf("read %s: %w", mark, err)
		}
		if has.Rows != w.rows {
			return fmt.Errorf("%s is of %d rows: give these, or another folder", mark, has.Rows)
		}
		w.since = has.Now
		// A folder of last month has last month's tables; parts are linked between equal ones.
		for _, database := range []string{storedDatabase, fewDatabase} {
			if err := schema.Migrate(ctx, w.conn, database); err != nil {
				return err
			}
		}
		return waitForMerges(ctx, w.conn)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read %s: %w", mark, err)
	}
	w.since = w.now
	began := time.Now()
	for database, rows := range map[string]uint64{storedDatabase: w.rows, fewDatabase: fewRows} {
		if err := w.load(ctx, database, rows); err != nil {
			return err
		}
	}
	w.report.linef("\n%d rows were stored in %.0f s.", w.rows+fewRows, time.Since(began).Seconds())
	if text, err = json.Marshal(storedMark{w.rows, w.since}); err != nil {
		return err
	}
	return os.WriteFile(mark, text, 0o600)
}

// load stores rows in a new database: four fifths a backfill over the years, the rest
// the last 30 days in the order in which they occurred. None is within the horizon: the
// server would have to read those into its ledger first. ClickHouse makes the rows itself.
func (w *speedWorld) load(ctx context.Context, database string, rows uint64) error {
	if err := w.fresh(ctx, database); err != nil {
		return err
	}
	recent := rows / 5
	to := w.since.Add(-73 * time.Hour)
	const piece = 5_000_000
	for _, part := range []struct {
		first, count uint64
		times        loadgen.Times
	}{
		{0, rows - recent, w.history()},
		{0, recent, loadgen.Times{From: to.Add(-30 * 24 * time.Hour), To: to, InOrder: recent}},
	} {
		g, err := w.generator(part.times)
		if err != nil {
			return err
		}
		for done := uint64(0); done < part.count; done += piece {
			if err := w.conn.Exec(ctx, g.InsertSQL(database+".lead_events", part.first+done, min(piece, part.count-done))); err != nil {
				return fmt.Errorf("store %d rows: %w", rows, err)
			}
		}
	}
	if err := waitForMerges(ctx, w.conn); err != nil {
		return err
	}
	e := w.stand.engine.Endpoint()
	ours, err := store.Open(store.Config{Addrs: []string{e.Native}, User: e.User, Password: e.Password, Database: database})
	if err != nil {
		return err
	}
	_, err = ours.MergeStates(ctx) // which a server does within a quarter of an hour
	return errors.Join(err, ours.Close())
}

// fresh makes a database with our tables, empty, whatever was there.
func (w *speedWorld) fresh(ctx context.Context, database string) error {
	if err := w.conn.Exec(ctx, "DROP DATABASE IF EXISTS "+database+" SYNC"); err != nil {
		return fmt.Errorf("drop database %s: %w", database, err)
	}
	return createDatabase(ctx, w.conn, database)
}

// attach gives a database the parts of another's rows: the files are linked, so it
// takes no time however many they are.
func (w *speedWorld) attach(ctx context.Context, from, to string) error {
	rows, err := w.conn.Query(ctx, fmt.Sprintf(`SELECT DISTINCT table, partition_id FROM system.parts
		WHERE active AND database = '%s' AND table IN ('lead_events', 'lead_states')`, from))
	if err != nil {
		return fmt.Errorf("list the stored parts: %w", err)
	}
	defer rows.Close()
	var statements []string
	for rows.Next() {
		var table, partition string
		if err := rows.Scan(&table, &partition); err != nil {
			return fmt.Errorf("list the stored parts: %w", err)
		}
		statements = append(statements, fmt.Sprintf("ALTER TABLE %s.%s ATTACH PARTITION ID '%s' FROM %s.%s", to, table, partition, from, table))
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list the stored parts: %w", err)
	}
	for _, statement := range statements {
		if err := w.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("link the stored rows: %w", err)
		}
	}
	return nil
}

// size measures what the stored rows take on the disk, as background merges leave them.
func (w *speedWorld) size(ctx context.Context) error {
	if !w.needs[speedStored] {
		return nil
	}
	var events, metadata, states, rows uint64
	err := w.conn.QueryRow(ctx, fmt.Sprintf(`SELECT sumIf(bytes_on_disk, table = 'lead_events'), sumIf(bytes_on_disk, table = 'lead_states'), sumIf(rows, table = 'lead_events')
		FROM system.parts WHERE active AND database = '%s'`, storedDatabase)).Scan(&events, &states, &rows)
	if err != nil {
		return fmt.Errorf("read the size of the stored rows: %w", err)
	}
	err = w.conn.QueryRow(ctx, fmt.Sprintf(`SELECT sum(column_bytes_on_disk) FROM system.parts_columns
		WHERE active AND database = '%s' AND table = 'lead_events' AND column = 'metadata'`, storedDatabase)).Scan(&metadata)
	if err != nil {
		return fmt.Errorf("read the size of the metadata: %w", err)
	}
	if rows == 0 || metadata == 0 || metadata >= events {
		return fmt.Errorf("the stored rows are %d with %d bytes, %d of them metadata: that cannot be", rows, events, metadata)
	}
	each := func(bytes uint64) float64 { return float64(bytes) / float64(rows) }
	w.figure(speedStored, each(events-metadata))
	w.notes = append(w.notes, fmt.Sprintf("Bytes of an event in ClickHouse, of %d stored: %.2f with keys, marks and indexes and without metadata, %.2f of metadata, %.2f of its lead's states; in all %.2f.",
		rows, each(events-metadata), each(metadata), each(states), each(events+states)))
	return nil
}
