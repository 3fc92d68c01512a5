-- How many rows there are of the keys of entries whose batch may still be sealing: it has
-- no receipt, and is young.
SELECT count()
FROM lead_events
WHERE organization_id = {organization:UInt64}
  AND event_type IN {types:Array(String)}
  AND ingested_at >= fromUnixTimestamp64Milli({settled:Int64})
  AND ingested_at <= fromUnixTimestamp64Milli({until:Int64})
  AND (event_type, occurred_at, phone) IN (
      SELECT event_type, occurred_at, phone
      FROM undo_rows
      WHERE organization_id = {organization:UInt64} AND entry IN {entries:Array(UInt64)})
  AND batch_id NOT IN (
      SELECT batch_id
      FROM batches
      WHERE organization_id = {organization:UInt64} AND created_at >= fromUnixTimestamp64Milli({settled:Int64} - 60000))
