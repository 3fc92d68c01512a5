package clickhouse

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"leadevents/internal/storetest"
)

// The states become one part where that is worth it, and say the same as before.
func TestStatesAreMergedWhereManyRowsAreOfTheSameLeads(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	parts := func() (n, rows uint64) {
		t.Helper()
		if err := db.conn.QueryRow(t.Context(), "SELECT count(), sum(rows) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'lead_states'").Scan(&n, &rows); err != nil {
			t.Fatal(err)
		}
		return n, rows
	}
	insert := func(leads, day int) {
		t.Helper()
		err := db.conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO lead_events SELECT 42, 'x', 15550000000 + number, toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + INTERVAL %d DAY, '{}', now64(3), 1 FROM numbers(%d)`, day, leads))
		if err != nil {
			t.Fatal(err)
		}
	}
	merge := func(worth uint64, want bool) {
		t.Helper()
		if merged, err := db.mergeStates(t.Context(), worth); err != nil || merged != want {
			t.Fatalf("merged %t (%v), want %t", merged, err, want)
		}
	}
	// The test alone merges.
	if err := db.conn.Exec(t.Context(), "SYSTEM STOP MERGES lead_states"); err != nil {
		t.Fatal(err)
	}
	merge(1, false) // there is nothing
	insert(3000, 1)
	insert(1499, 2)
	merge(1, false) // less than half of the largest
	insert(3000, 3)
	if n, rows := parts(); n != 3 || rows != 7499 {
		t.Fatalf("%d parts with %d rows, want 3 with 7499", n, rows)
	}
	merge(5000, false) // too few to be worth it
	if err := db.conn.Exec(t.Context(), "SYSTEM START MERGES lead_states"); err != nil {
		t.Fatal(err)
	}
	merge(1000, true)
	if n, rows := parts(); n != 1 || rows != 3000 {
		t.Fatalf("%d parts with %d rows, want 1 with 3000", n, rows)
	}
	var right uint64
	if err := db.conn.QueryRow(t.Context(), "SELECT countIf(toDayOfMonth(first_at) = 2 AND toDayOfMonth(last_at) = 4) FROM lead_states").Scan(&right); err != nil || right != 3000 {
		t.Fatalf("%d states have the first and the last day of their events (%v), want 3000", right, err)
	}
	merge(1000, false)
}

// ClickHouse says nothing while it merges, or writes parts anew, however long it takes: that is no
// silence to give up at.
func TestMergesAndMutationsAreWaitedForBeyondTheReadTimeout(t *testing.T) {
	store := storetest.ClickHouse(t)
	db := credentialsIn(t, store)
	for day := range 2 {
		err := db.conn.Exec(t.Context(), fmt.Sprintf("INSERT INTO lead_events SELECT 42, 'x', 15550000000 + number, toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + INTERVAL %d DAY, '{}', now64(3), 1 FROM numbers(1000)", day))
		if err != nil {
			t.Fatal(err)
		}
	}
	const silence = 300 * time.Millisecond
	slow := func(statement string) *DB {
		db, err := Open(Config{Addrs: []string{hushed(t, store.Native, statement, 3*silence)}, Database: store.Database, User: store.User, Password: store.Password, ReadTimeout: silence})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	if merged, err := slow("OPTIMIZE TABLE lead_states").mergeStates(t.Context(), 1); err != nil || !merged {
		t.Errorf("a merge of states: %t, %v", merged, err)
	}
	if err := db.conn.Exec(t.Context(), "DELETE FROM lead_events WHERE phone = 15550000000"); err != nil {
		t.Fatal(err)
	}
	if err := slow("APPLY DELETED MASK").Purge(t.Context()); err != nil {
		t.Errorf("a purge: %v", err)
	}
	var left uint64
	if err := db.conn.QueryRow(t.Context(), "SELECT count() FROM system.parts WHERE active AND has_lightweight_delete AND database = currentDatabase()").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d parts have masked rows (%v)", left, err)
	}
}

// hushed is the address of a way to a server that says nothing for a while once it has been sent a text.
func hushed(t *testing.T, server, text string, while time.Duration) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", server)
			if err != nil {
				_ = here.Close()
				return
			}
			go func() {
				defer there.Close()
				buffer := make([]byte, 1<<16)
				for {
					n, err := here.Read(buffer)
					if bytes.Contains(buffer[:n], []byte(text)) {
						time.Sleep(while)
					}
					if _, failed := there.Write(buffer[:n]); err != nil || failed != nil {
						return
					}
				}
			}()
			go func() {
				defer here.Close()
				_, _ = io.Copy(here, there)
			}()
		}
	}()
	return listener.Addr().String()
}
