-- The years in which an organization has events of each type, and about how many rows. By
-- the sorting key alone, so without FINAL: rows that stand twice count twice.
SELECT toYear(occurred_at) AS year, event_type, count() AS stored
FROM lead_events
WHERE organization_id = {organization:UInt64}
  AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND (empty({types:Array(String)}) OR has({types:Array(String)}, event_type))
GROUP BY year, event_type
ORDER BY year DESC, stored DESC
