package chaos

import (
	"context"
	"fmt"
	"time"
)

// truth is what ClickHouse has.
type truth struct {
	stored  map[int]bool
	stated  map[int]bool // those that their lead's state has
	unknown int          // rows of no event that was ever drawn
}

// readTruth reads every distinct key of the raw table.
func (w *world) readTruth(load *Workload) truth {
	w.t.Helper()
	conn := w.connect()
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	rows, err := conn.Query(ctx, `SELECT DISTINCT organization_id, event_type, phone, toUnixTimestamp64Milli(occurred_at), occurred_at BETWEEN first AND last
		FROM lead_events LEFT JOIN (SELECT organization_id, event_type, phone, min(first_at) AS first, max(last_at) AS last FROM lead_states GROUP BY ALL) AS states
		USING (organization_id, event_type, phone)`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	found := truth{stored: map[int]bool{}, stated: map[int]bool{}}
	for rows.Next() {
		var (
			org, phone uint64
			eventType  string
			at         int64
			stated     uint8
		)
		if err := rows.Scan(&org, &eventType, &phone, &at, &stated); err != nil {
			w.t.Fatal(err)
		}
		if k, ok := load.Key(Event{Org: int(org), Type: eventType, Phone: phone, At: at}); ok {
			found.stored[k], found.stated[k] = true, stated != 0
		} else {
			found.unknown++
		}
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return found
}

// isStored and isStated are truth as History.Check asks for it.
func (t truth) isStored(k int) bool { return t.stored[k] }
func (t truth) isStated(k int) bool { return t.stated[k] }

// mending is how long rows that nobody was told of may be without their state: the
// servers repair them beside their traffic, and what a dead one had on its way a
// deadline later.
const mending = 2 * time.Minute

// checkTables is I4, and that nothing was stored that nobody sent.
func (w *world) checkTables(found truth) []Violation {
	w.t.Helper()
	conn := w.connect()
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	count := func(sql string) uint64 {
		w.t.Helper()
		var n uint64
		if err := conn.QueryRow(ctx, sql).Scan(&n); err != nil {
			w.t.Fatalf("%s: %v", sql, err)
		}
		return n
	}
	var violations []Violation
	add := func(format string, args ...any) {
		violations = append(violations, Violation{"I4", fmt.Sprintf(format, args...)})
	}
	const (
		states = "SELECT organization_id, event_type, phone, min(first_at), max(last_at) FROM lead_states GROUP BY organization_id, event_type, phone"
		raw    = "SELECT organization_id, event_type, phone, min(occurred_at), max(occurred_at) FROM lead_events GROUP BY organization_id, event_type, phone"
	)
	unstated := func() uint64 { return count("SELECT count() FROM (" + raw + " EXCEPT " + states + ")") }
	n := unstated()
	for deadline := time.Now().Add(mending); n > 0 && time.Now().Before(deadline); n = unstated() {
		time.Sleep(100 * time.Millisecond)
	}
	if n > 0 {
		add("%d leads of the raw table have no state, or another, after %s", n, mending)
	}
	if n := count("SELECT count() FROM (" + states + " EXCEPT " + raw + ")"); n > 0 {
		add("%d states are not what the raw table says", n)
	}
	distinct := count("SELECT uniqExact(organization_id, event_type, phone, occurred_at) FROM lead_events")
	if final := count("SELECT count() FROM lead_events FINAL"); final != distinct {
		add("%d rows through FINAL, %d distinct keys", final, distinct)
	}
	if found.unknown > 0 {
		add("%d rows that nobody sent", found.unknown)
	}
	return violations
}
