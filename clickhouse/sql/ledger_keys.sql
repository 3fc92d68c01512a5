-- The keys a rebuild of the ledger sets. No FINAL: of two rows with one key the
-- ledger takes the first, and the contests say afterwards whose it is.
SELECT organization_id AS organization, CAST(event_type, 'String') AS type, phone, toUnixTimestamp64Milli(occurred_at) AS at, batch_id AS batch
FROM lead_events
WHERE occurred_at >= fromUnixTimestamp64Milli({from:Int64})
  AND occurred_at < fromUnixTimestamp64Milli({to:Int64})
  AND ingested_at >= fromUnixTimestamp64Milli({ingested_since:Int64})
  AND ingested_at < fromUnixTimestamp64Milli({ingested_until:Int64})
