package clickhouse

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/auth"
	"leadevents/clickhouse/schema"
	"leadevents/internal/storetest"
	"leadevents/internal/storetest/credentials"
)

// credentialsIn opens a pool on a store and makes the tables.
func credentialsIn(t *testing.T, store storetest.ClickHouseStore) *DB {
	t.Helper()
	db, err := Open(Config{Addrs: []string{store.Native}, Database: store.Database, User: store.User, Password: store.Password, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := schema.Migrate(t.Context(), db.conn, store.Database); err != nil {
		t.Fatal(err)
	}
	return db
}

// The suite that the store in memory passes (auth: TestMemoryStore).
func TestCredentialsStore(t *testing.T) {
	credentials.Run(t, func(t *testing.T) auth.Store {
		return credentialsIn(t, storetest.ClickHouse(t)).Credentials()
	})
}

func directoryOn(t *testing.T, db *DB) *auth.Directory {
	t.Helper()
	d, err := auth.New(auth.Config{}, db.Credentials(), time.Now, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// What auth proves step by step on the store in memory, on the store that has no
// unique keys: four processes, each with a pool of its own, and eight ids.
func TestOneOrganizationIdNeverHasTwoCreators(t *testing.T) {
	store := storetest.ClickHouse(t)
	var processes []*auth.Directory
	for range 4 {
		processes = append(processes, directoryOn(t, credentialsIn(t, store)))
	}
	created := map[leadevents.OrgID]*atomic.Int64{}
	for id := leadevents.OrgID(1); id <= 8; id++ {
		created[id] = &atomic.Int64{}
		var race sync.WaitGroup
		for _, p := range processes {
			race.Go(func() {
				_, err := p.CreateOrganization(t.Context(), "racer", id)
				switch {
				case err == nil:
					created[id].Add(1)
				case leadevents.KindOf(err) != leadevents.Conflict:
					t.Errorf("organization %d: %v", id, err)
				}
			})
		}
		race.Wait()
	}
	all, err := processes[0].Organizations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id, n := range created {
		exists := slices.ContainsFunc(all, func(o auth.Organization) bool { return o.ID == id })
		if n.Load() > 1 || (n.Load() == 1) != exists {
			t.Errorf("organization %d: %d were told that they created it; it exists: %v", id, n.Load(), exists)
		}
		if !exists { // all gave way to each other: the id must not be lost
			if _, err := processes[1].CreateOrganization(t.Context(), "later", id); err != nil {
				t.Errorf("organization %d after a race without a winner: %v", id, err)
			}
		}
	}
}

// A merge may keep any of a record's rows but the highest version, and a crash
// may lose what was not written: neither may let a stolen key in again.
func TestARevocationOutlivesMergesAndACrash(t *testing.T) {
	engine := storetest.OwnClickHouse(t)
	db := credentialsIn(t, engine.Store())
	d := directoryOn(t, db)
	org, err := d.CreateOrganization(t.Context(), "org", 7)
	if err != nil {
		t.Fatal(err)
	}
	key, err := d.CreateKey(t.Context(), 7, auth.KeyRequest{Name: "stolen"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.RevokeKey(t.Context(), 7, key.ID, false); err != nil {
		t.Fatal(err)
	}
	pid := engine.Endpoint().PID
	engine.Kill()
	engine.Await(pid)

	// The old row once more, as a process that was suspended might write it.
	if err := db.Credentials().PutAPIKey(t.Context(), key.APIKey); err != nil {
		t.Fatalf("after the restart: %v", err)
	}
	check := func(when string) {
		t.Helper()
		keys, err := d.Keys(t.Context(), 7)
		if err != nil || len(keys) != 2 {
			t.Fatalf("%s: %d keys, %v", when, len(keys), err)
		}
		for _, k := range keys {
			if revoked := !k.RevokedAt.IsZero(); revoked != (k.ID == key.ID) || k.SHA256 == ([32]byte{}) {
				t.Errorf("%s: key %s (%s) revoked: %v", when, k.ID, k.Name, revoked)
			}
		}
	}
	check("before merges")
	for _, table := range []string{"organizations", "api_keys", "signing_keys"} {
		if err := db.conn.Exec(t.Context(), "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
			t.Fatal(err)
		}
	}
	var rows uint64
	if err := db.conn.QueryRow(t.Context(), "SELECT count() FROM api_keys").Scan(&rows); err != nil || rows != 2 {
		t.Fatalf("%d rows after the merge (%v): it proves nothing", rows, err)
	}
	check("after merges")
	if o, err := d.Organization(t.Context(), 7); err != nil || o.Claim != org.Claim {
		t.Errorf("organization: %+v, %v", o, err)
	}
}

// A record that is left out would be a revocation undone, or an organization in
// its default mode: the whole answer fails instead, and says why in the log.
func TestARecordThatCannotBeReadFailsTheWholeAnswer(t *testing.T) {
	good := strings.Repeat("0f", 32)
	for _, c := range []struct{ claim, insert, says string }{
		{"an unknown auth mode", "INSERT INTO organizations VALUES (8, 1, 'x', 'both', 0, false, 1, 0)", "authMode"},
		{"an unknown scope", "INSERT INTO api_keys VALUES (8, 'k', 'x', '" + good + "', ['ingest', 'root'], 0, 0, 0, 1)", "root"},
		{"a short hash", "INSERT INTO api_keys VALUES (8, 'k', 'x', '0f', [], 0, 0, 0, 1)", "64 hex digits"},
		{"a long hash", "INSERT INTO api_keys VALUES (8, 'k', 'x', '" + good + "0f', [], 0, 0, 0, 1)", "64 hex digits"},
		{"a hash that is no hex", "INSERT INTO api_keys VALUES (8, 'k', 'x', '" + good[:62] + "0g', [], 0, 0, 0, 1)", "64 hex digits"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			db := credentialsIn(t, storetest.ClickHouse(t))
			if _, err := directoryOn(t, db).CreateOrganization(t.Context(), "good", 7); err != nil {
				t.Fatal(err)
			}
			if err := db.conn.Exec(t.Context(), c.insert); err != nil {
				t.Fatal(err)
			}
			r, err := db.Credentials().LoadAll(t.Context())
			if leadevents.KindOf(err) != leadevents.Unavailable || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(auth.Records{}, r); diff != "" {
				t.Errorf("records beside the error: %s", diff)
			}
			if _, err := db.Credentials().Load(t.Context(), 7); err != nil {
				t.Errorf("another organization suffers where only one is asked for: %v", err)
			}
		})
	}
}

// A store that is silent is "unavailable", after the caller's deadline and at most
// the driver's attempts to connect anew, which only the dial timeout bounds.
func TestCredentialsOfASilentStoreAreUnavailable(t *testing.T) {
	engine := storetest.OwnClickHouse(t)
	store := engine.Store()
	credentialsIn(t, store)
	db, err := Open(Config{Addrs: []string{store.Native}, Database: store.Database, User: store.User, Password: store.Password, DialTimeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	c := db.Credentials()
	engine.Pause()
	defer engine.Resume()
	var calls sync.WaitGroup
	defer calls.Wait()
	for name, call := range map[string]func(context.Context) error{
		"Stamp":           func(ctx context.Context) error { _, err := c.Stamp(ctx); return err },
		"LoadAll":         func(ctx context.Context) error { _, err := c.LoadAll(ctx); return err },
		"Load":            func(ctx context.Context) error { _, err := c.Load(ctx, 7); return err },
		"Uses":            func(ctx context.Context) error { _, err := c.Uses(ctx, 7); return err },
		"PutOrganization": func(ctx context.Context) error { return c.PutOrganization(ctx, auth.Organization{ID: 7}) },
		"PutAPIKey":       func(ctx context.Context) error { return c.PutAPIKey(ctx, auth.APIKey{Org: 7}) },
		"PutSigningKey":   func(ctx context.Context) error { return c.PutSigningKey(ctx, auth.SigningKey{Org: 7}) },
		"PutLimits":       func(ctx context.Context) error { return c.PutLimits(ctx, []auth.OrganizationLimit{{Org: 7}}) },
		"AddUses":         func(ctx context.Context) error { return c.AddUses(ctx, []auth.Use{{Org: 7}}) },
	} {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			began := time.Now()
			if err := call(ctx); leadevents.KindOf(err) != leadevents.Unavailable {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s came back after %s", name, took)
			}
		})
	}
}
