-- What ClickHouse knows of the ledger, in one look: the identity of the table it
-- was built from, the newest trust record and heartbeat, the server's clock
-- and which start of the server this is.
SELECT
    (SELECT toString(uuid) FROM system.tables WHERE database = currentDatabase() AND name = 'lead_events') AS table_id,
    (SELECT count() = 0 FROM (SELECT 1 FROM lead_events LIMIT 1)) AS empty,
    (SELECT max(number) FROM ledger_trust) AS number,
    (SELECT argMax(record, number) FROM ledger_trust) AS record,
    toUnixTimestamp64Milli((SELECT max(beat) FROM ledger_beats)) AS beat,
    toUnixTimestamp64Milli(now64(3)) AS now,
    toUnixTimestamp64Milli(toDateTime64(now() - uptime(), 3)) AS started,
    (SELECT max(name) FROM server_starts) AS server
