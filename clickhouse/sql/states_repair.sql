-- A row and its state are two parts: a crash between them leaves the row without
-- its state when nobody sends it again. Adding a state twice changes nothing.
INSERT INTO lead_states (organization_id, event_type, phone, first_at, last_at)
SELECT organization_id, event_type, phone, min(occurred_at), max(occurred_at)
FROM lead_events
WHERE ingested_at >= fromUnixTimestamp64Milli({since:Int64})
  AND ingested_at < fromUnixTimestamp64Milli({until:Int64})
GROUP BY organization_id, event_type, phone
