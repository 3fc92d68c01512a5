package clickhouse

import (
	"context"
	"fmt"
	"time"
)

// Facts is what `leadevents check` wants to know of a server.
type Facts struct {
	Version   string        // "26.7.3.1"
	Now       time.Time     // its clock, when half of RoundTrip had gone by
	Asked     time.Time     // our clock at that moment
	RoundTrip time.Duration // of the question
	Fsync     bool          // an acknowledged row has reached the disk
}

// Facts asks the server what it is.
func (db *DB) Facts(ctx context.Context) (Facts, error) {
	if err := db.Ping(ctx); err != nil { // makes the connection, which must not count as round trip
		return Facts{}, err
	}
	var f Facts
	began := time.Now()
	if err := db.conn.QueryRow(ctx, sqlText("server_facts")).Scan(&f.Version, &f.Now, &f.Fsync); err != nil {
		return Facts{}, unavailable(fmt.Errorf("ask ClickHouse what it is: %w", err))
	}
	f.RoundTrip = time.Since(began)
	f.Asked = began.Add(f.RoundTrip / 2)
	return f, nil
}
