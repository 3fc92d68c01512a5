-- A row and its state are two parts, and an insert that breaks off between them
-- (a crash, a full disk, the end of the query) leaves the row without its state
-- when nobody sends it again. Adding a state twice changes nothing.
INSERT INTO lead_states (organization_id, event_type, phone, first_at, last_at)
SELECT organization_id, event_type, phone, min(occurred_at), max(occurred_at)
FROM lead_events
WHERE occurred_at >= fromUnixTimestamp64Milli({from:Int64})
  AND occurred_at < fromUnixTimestamp64Milli({to:Int64})
  AND ingested_at >= fromUnixTimestamp64Milli({ingested_since:Int64})
  AND ingested_at < fromUnixTimestamp64Milli({ingested_until:Int64})
GROUP BY organization_id, event_type, phone
