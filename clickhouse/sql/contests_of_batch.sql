-- The contests that a batch won or lost: its losses by the sorting key, its
-- victories through the bloom filter.
SELECT organization_id, event_type, phone, toUnixTimestamp64Milli(occurred_at), winner, loser
FROM contested
WHERE organization_id = {organization:UInt64}
  AND (loser = {batch:UInt64} OR winner = {batch:UInt64})
