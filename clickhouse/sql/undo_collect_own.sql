-- The rows that batches have stored, but for keys that another batch has won from them.
-- Stamps leave out the granules of other times, where rows came as they occurred.
INSERT INTO undo_rows (organization_id, entry, event_type, occurred_at, phone, batch_id, ingested_at, owner)
SELECT {organization:UInt64}, transform(batch_id, {batches:Array(UInt64)}, {entries:Array(UInt64)}, 0::UInt64), event_type, occurred_at, phone, batch_id, ingested_at, batch_id
FROM lead_events
WHERE organization_id = {organization:UInt64}
  AND event_type IN {types:Array(String)}
  AND batch_id IN {batches:Array(UInt64)}
  AND ingested_at >= fromUnixTimestamp64Milli({from:Int64})
  AND ingested_at < fromUnixTimestamp64Milli({to:Int64})
  AND (event_type, occurred_at, phone, batch_id) NOT IN (
      SELECT event_type, occurred_at, phone, loser
      FROM contested
      WHERE organization_id = {organization:UInt64} AND loser IN {batches:Array(UInt64)})
