-- The rows of batches that have lost keys to those: what has come since the first look.
INSERT INTO undo_rows (organization_id, entry, event_type, occurred_at, phone, batch_id, ingested_at, owner)
WITH lost AS
(
    SELECT event_type, occurred_at, phone, loser, any(winner) AS owner
    FROM contested
    WHERE organization_id = {organization:UInt64}
      AND winner IN {batches:Array(UInt64)}
      AND (event_type, occurred_at, phone, winner) NOT IN (
          SELECT event_type, occurred_at, phone, loser
          FROM contested
          WHERE organization_id = {organization:UInt64} AND loser IN {batches:Array(UInt64)})
    GROUP BY event_type, occurred_at, phone, loser
)
SELECT {organization:UInt64}, transform(l.owner, {batches:Array(UInt64)}, {entries:Array(UInt64)}, 0::UInt64), r.event_type, r.occurred_at, r.phone, r.batch_id, r.ingested_at, l.owner
FROM
(
    SELECT event_type, occurred_at, phone, batch_id, ingested_at
    FROM lead_events
    WHERE organization_id = {organization:UInt64}
      AND event_type IN {types:Array(String)}
      AND (event_type, occurred_at, phone) IN (SELECT event_type, occurred_at, phone FROM lost)
      AND batch_id IN (SELECT loser FROM lost)
) AS r
INNER JOIN lost AS l ON r.event_type = l.event_type AND r.occurred_at = l.occurred_at AND r.phone = l.phone AND r.batch_id = l.loser
