-- The newest events of a type lie at the end of its range of the key, so few rows are
-- read. A duplicate does no harm to a sample: no FINAL.
SELECT metadata
FROM lead_events
WHERE organization_id = {organization:UInt64} AND event_type = {event_type:String} AND metadata != '{}'
ORDER BY occurred_at DESC
LIMIT {most:UInt64}
