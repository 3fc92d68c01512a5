package loadgen

import (
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"leadevents"
	"leadevents/internal/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// The rows that ClickHouse makes are those that Go makes, in every column.
func TestSQLAndGoMakeTheSameRows(t *testing.T) {
	store := storetest.ClickHouse(t)
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{store.Native},
		Auth: clickhouse.Auth{Database: store.Database, Username: store.User, Password: store.Password},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the store ends with the test
	for claim, change := range map[string]func(*Config){
		"backfill in no order":      nil,
		"backfill in order":         func(c *Config) { c.Times = History(now, 3, 60_000) },
		"live, calls of one event":  func(c *Config) { c.Times, c.BatchRows = Live(now), 1 },
		"live, in order":            func(c *Config) { c.Times, c.Times.InOrder, c.BatchRows = Horizon(now), 60_000, 20 },
		"half repeats":              func(c *Config) { c.Repeats, c.BatchRows = 500, 10 },
		"no repeats and no rejects": func(c *Config) { c.Repeats, c.Rejects = 0, 0 },
		"types of one's own":        func(c *Config) { c.EventTypes = []string{"it's", `a\b`, "🎉"} },
	} {
		t.Run(claim, func(t *testing.T) {
			g := generator(t, change)
			const first, count = 30_000, 20_000
			rows, err := conn.Query(t.Context(), "SELECT * FROM ("+g.SelectSQL(first, count)+") ORDER BY batch_id, phone, occurred_at, metadata")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close() //nolint:errcheck // rows.Err tells
			made := map[string]int{}
			for rows.Next() {
				var (
					org, phone, batch  uint64
					eventType, meta    string
					occurred, ingested time.Time
				)
				if err := rows.Scan(&org, &eventType, &phone, &occurred, &meta, &ingested, &batch); err != nil {
					t.Fatal(err)
				}
				made[line(leadevents.OrgID(org), eventType, leadevents.Phone(phone), leadevents.MillisOf(occurred), meta, leadevents.MillisOf(ingested), leadevents.BatchID(batch))]++
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			var e Event
			for i := uint64(first); i < first+count; i++ {
				g.Event(i, &e)
				if e.Rejected {
					continue
				}
				l := line(42, e.EventType, e.Phone, e.OccurredAt, string(e.Metadata), e.Arrived, e.Batch)
				if made[l] == 0 {
					t.Fatalf("ClickHouse did not make event %d: %s", i, l)
				}
				if made[l]--; made[l] == 0 {
					delete(made, l)
				}
			}
			for l := range made {
				t.Fatalf("ClickHouse made %s, Go did not", l)
			}
		})
	}
}

func line(org leadevents.OrgID, eventType string, phone leadevents.Phone, occurred leadevents.Millis, metadata string, arrived leadevents.Millis, batch leadevents.BatchID) string {
	return fmt.Sprintln(org, eventType, phone, occurred, metadata, arrived, batch)
}
