-- The rows of requests that were so young at the first look that they might have been
-- sealing, and have died since: they are old now, and have no receipt. What came after the
-- undo had begun is not among them. Nobody was told inserted for them; who was told
-- duplicate came before the batch was undone.
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
      AND ingested_at >= fromUnixTimestamp64Milli({since:Int64})
      AND ingested_at <= fromUnixTimestamp64Milli({begun:Int64})
      AND ingested_at < fromUnixTimestamp64Milli({settled:Int64})
      AND batch_id NOT IN (
          SELECT batch_id
          FROM batches
          WHERE organization_id = {organization:UInt64} AND created_at >= fromUnixTimestamp64Milli({since:Int64} - 60000))
) AS r
INNER JOIN
(
    SELECT DISTINCT entry, owner, event_type, occurred_at, phone
    FROM undo_rows
    WHERE organization_id = {organization:UInt64} AND entry IN {entries:Array(UInt64)}
) AS k ON r.event_type = k.event_type AND r.occurred_at = k.occurred_at AND r.phone = k.phone
WHERE r.batch_id != k.owner
