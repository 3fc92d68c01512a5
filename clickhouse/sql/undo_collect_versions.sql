-- The rows of other batches that have those keys: of batches that lost them, and of
-- requests that died. Asked for once, before the first row is deleted: afterwards a row of
-- the key may be a new one. Of a batch that is so young that it may still be sealing, and
-- has no receipt, the row is left: it will lose, and say so, or win what was given up.
INSERT INTO undo_rows (organization_id, entry, event_type, occurred_at, phone, batch_id, ingested_at, owner)
SELECT {organization:UInt64}, k.entry, r.event_type, r.occurred_at, r.phone, r.batch_id, r.ingested_at, k.owner
FROM
(
    SELECT event_type, occurred_at, phone, batch_id, ingested_at
    FROM lead_events
    WHERE organization_id = {organization:UInt64}
      AND event_type IN {types:Array(String)}
      AND (event_type, occurred_at, phone) IN (
          SELECT event_type, occurred_at, phone
          FROM undo_rows
          WHERE organization_id = {organization:UInt64} AND entry IN {entries:Array(UInt64)})
      AND ingested_at <= fromUnixTimestamp64Milli({begun:Int64})
      AND (ingested_at < fromUnixTimestamp64Milli({settled:Int64}) OR batch_id IN (
          SELECT batch_id
          FROM batches
          WHERE organization_id = {organization:UInt64} AND created_at >= fromUnixTimestamp64Milli({settled:Int64} - 60000)))
) AS r
INNER JOIN
(
    SELECT DISTINCT entry, owner, event_type, occurred_at, phone
    FROM undo_rows
    WHERE organization_id = {organization:UInt64} AND entry IN {entries:Array(UInt64)}
) AS k ON r.event_type = k.event_type AND r.occurred_at = k.occurred_at AND r.phone = k.phone
WHERE r.batch_id != k.owner
