-- How many rows are there of those that entries remove.
SELECT count()
FROM lead_events
WHERE organization_id = {organization:UInt64}
  AND event_type IN {types:Array(String)}
  AND (event_type, occurred_at, phone, batch_id, ingested_at) IN (
      SELECT event_type, occurred_at, phone, batch_id, ingested_at
      FROM undo_rows
      WHERE organization_id = {organization:UInt64} AND entry IN {entries:Array(UInt64)})
