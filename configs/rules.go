package configs

import "time"

// deadlinesPerShortHorizon: a key must be remembered long after the last moment
// at which the request that stored it, or another that raced it, can still act.
// One deadline would do if every clock and every pause were kind; ten leave room
// for a server that was suspended, a failover and a retry.
const deadlinesPerShortHorizon = 10

// rules checks what must hold between two values.
func (s *Settings) rules(faults *Faults) {
	rule := func(ok bool, format string, args ...any) {
		if !ok {
			faults.add("settings", format, args...)
		}
	}
	l := s.Ledger
	rule(l.ShortHorizon >= deadlinesPerShortHorizon*l.Deadline,
		"ledger.short_horizon is %s: it must be at least %d × ledger.deadline (%s), so at least %s",
		l.ShortHorizon, deadlinesPerShortHorizon, l.Deadline, deadlinesPerShortHorizon*l.Deadline)
	rule(l.Horizon >= l.ShortHorizon,
		"ledger.horizon is %s: it must be at least ledger.short_horizon (%s)", l.Horizon, l.ShortHorizon)
	rule(l.Margin <= l.ShortHorizon/deadlinesPerShortHorizon,
		"ledger.margin is %s: it must be at most a tenth of ledger.short_horizon, so at most %s",
		l.Margin, (l.ShortHorizon / deadlinesPerShortHorizon).Round(time.Millisecond))
	// A store whose outcome is unknown is sent once more within the deadline, and
	// the seal must still fit behind it.
	rule(2*s.ClickHouse.InsertTimeout < l.Deadline,
		"clickhouse.insert_timeout is %s: it must be less than half of ledger.deadline (%s), so that one resend and the seal fit",
		s.ClickHouse.InsertTimeout, l.Deadline)
	rule(2*s.Redis.Timeout < l.Deadline,
		"redis.timeout is %s: it must be less than half of ledger.deadline (%s), so that a peek and a seal fit",
		s.Redis.Timeout, l.Deadline)
	rule(s.HTTP.ShutdownTimeout >= s.Ingest.PeekTimeout+l.Deadline,
		"http.shutdown_timeout is %s: it must be at least ingest.peek_timeout and ledger.deadline together (%s), so that a stop lets requests in flight be sealed",
		s.HTTP.ShutdownTimeout, s.Ingest.PeekTimeout+l.Deadline)
	rule(s.Redis.PoolSize >= l.Connections,
		"redis.pool_size is %d: it must be at least ledger.connections (%d)", s.Redis.PoolSize, l.Connections)
	// Calls with an Idempotency-Key have as many lanes of their own.
	lanes := 2*s.Ingest.Lanes + s.Ingest.BulkLanes + s.Audiences.MaxUploads
	rule(s.ClickHouse.MaxConns > lanes,
		"clickhouse.max_conns is %d: it must be more than twice ingest.lanes, ingest.bulk_lanes and audiences.max_uploads together (%d), so that stores leave a connection to reads",
		s.ClickHouse.MaxConns, lanes)
	// What previews and streamed results read comes over connections of their own. A
	// materialization has two queries under way.
	workers := lanes + 2*s.Sends.Workers
	rule(s.ClickHouse.MaxConns <= lanes || s.ClickHouse.MaxConns > workers,
		"clickhouse.max_conns is %d: it must be more than what stores need (%d) and twice sends.workers (%d) together, so that neither waits for the other",
		s.ClickHouse.MaxConns, lanes, s.Sends.Workers)
	rule(s.ClickHouse.MaxConns <= workers || s.ClickHouse.MaxConns > workers+s.Reports.AtOnce,
		"clickhouse.max_conns is %d: it must be more than what stores and sends.workers need (%d) and reports.at_once (%d) together, so that reports leave a connection to the others",
		s.ClickHouse.MaxConns, workers, s.Reports.AtOnce)
	rule(s.Ingest.SmallRows <= s.Ingest.GroupRows,
		"ingest.small_rows is %d: it must be at most ingest.group_rows (%d), since such a call fits into one group",
		s.Ingest.SmallRows, s.Ingest.GroupRows)
	rule(s.Ingest.HistoricalLanes <= s.Ingest.BulkLanes,
		"ingest.historical_lanes is %d: it must be at most ingest.bulk_lanes (%d), since a backfill's calls have lanes among those",
		s.Ingest.HistoricalLanes, s.Ingest.BulkLanes)
	rule(s.Auth.MaxStaleness >= s.Auth.RefreshInterval,
		"auth.max_staleness is %s: it must be at least auth.refresh_interval (%s)", s.Auth.MaxStaleness, s.Auth.RefreshInterval)
	rule((s.HTTP.TLSCertFile == "") == (s.HTTP.TLSKeyFile == ""),
		"http.tls_cert_file and http.tls_key_file: one is set without the other: set both to serve HTTPS, or neither")
	rule(s.Auth.UnusedAfter > s.Auth.FlushInterval,
		"auth.unused_after is %s: it must be more than auth.flush_interval (%s), since the uses of a key are known so late",
		s.Auth.UnusedAfter, s.Auth.FlushInterval)
	rule(!s.MasterKey.IsZero() || s.OldMasterKey.IsZero() && s.NextMasterKey.IsZero(),
		"master_key is empty, but old_master_key or next_master_key is set: they only decrypt, set the one that encrypts too")
	rule(s.ClickHouse.TLS || s.ClickHouse.TLSCAFile == "",
		"clickhouse.tls_ca_file is set, but clickhouse.tls is false: set it to true, or leave the file out")
	rule(s.Redis.TLS || s.Redis.TLSCAFile == "",
		"redis.tls_ca_file is set, but redis.tls is false: set it to true, or leave the file out")
}
