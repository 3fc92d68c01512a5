package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// meter tells what ClickHouse spent on each contestant: by the times of its queries
// in the query log, since what we measure may ask several, under ids of its own.
// Nothing else may ask meanwhile.
type meter struct {
	conn    driver.Conn
	windows map[string][]stretch
}

type stretch struct{ from, to time.Time }

func newMeter(conn driver.Conn) *meter { return &meter{conn, map[string][]stretch{}} }

// around is run, with a note of when it ran.
func (m *meter) around(name string, run func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		began := time.Now()
		err := run(ctx)
		m.windows[name] = append(m.windows[name], stretch{began, time.Now()})
		return err
	}
}

// spent is the median time of processors, and the most memory of a query.
func (m *meter) spent(ctx context.Context, name string) (cpu time.Duration, memory uint64, err error) {
	if err := m.conn.Exec(ctx, "SYSTEM FLUSH LOGS"); err != nil {
		return 0, 0, fmt.Errorf("write the query log: %w", err)
	}
	var times []time.Duration
	for _, w := range m.windows[name] {
		var used uint64
		var most uint64
		err := m.conn.QueryRow(ctx, fmt.Sprintf(`SELECT sum(ProfileEvents['UserTimeMicroseconds'] + ProfileEvents['SystemTimeMicroseconds']), max(memory_usage)
			FROM system.query_log WHERE type = 'QueryFinish' AND is_initial_query
			AND query_start_time_microseconds >= fromUnixTimestamp64Micro(%d) AND event_time_microseconds <= fromUnixTimestamp64Micro(%d)`,
			w.from.UnixMicro(), w.to.Add(time.Millisecond).UnixMicro())).Scan(&used, &most)
		if err != nil {
			return 0, 0, fmt.Errorf("read the query log: %w", err)
		}
		times, memory = append(times, time.Duration(used)*time.Microsecond), max(memory, most)
	}
	if len(times) == 0 {
		return 0, 0, nil
	}
	slices.Sort(times)
	return times[len(times)/2], memory, nil
}
