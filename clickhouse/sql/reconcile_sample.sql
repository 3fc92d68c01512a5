-- Random rows that the ledger must have keys of.
SELECT CAST(event_type, 'String'), phone, toUnixTimestamp64Milli(occurred_at), batch_id
FROM lead_events
WHERE organization_id = {organization:UInt64}
  AND occurred_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
  AND ingested_at < fromUnixTimestamp64Milli({before:Int64}, 'UTC')
ORDER BY rand()
LIMIT {limit:UInt64}
