-- The keys that batches have won from others: a merge may have kept the row of either, so
-- a key stands here without one. What a rebuild once took for won, and was lost, is not.
INSERT INTO undo_rows (organization_id, entry, event_type, occurred_at, phone, batch_id, ingested_at, owner)
SELECT {organization:UInt64}, transform(winner, {batches:Array(UInt64)}, {entries:Array(UInt64)}, 0::UInt64), event_type, occurred_at, phone, winner, fromUnixTimestamp64Milli(0::Int64), winner
FROM contested
WHERE organization_id = {organization:UInt64}
  AND winner IN {batches:Array(UInt64)}
  AND (event_type, occurred_at, phone, winner) NOT IN (
      SELECT event_type, occurred_at, phone, loser
      FROM contested
      WHERE organization_id = {organization:UInt64} AND loser IN {batches:Array(UInt64)})
GROUP BY event_type, occurred_at, phone, winner
