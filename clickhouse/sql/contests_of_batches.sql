-- The contests that some batches ("wanted" comes with the query) won or lost:
-- losses by the sorting key, victories through the bloom filter.
SELECT organization_id, event_type, phone, toUnixTimestamp64Milli(occurred_at), winner, loser
FROM contested
WHERE (organization_id, loser) IN wanted OR (organization_id, winner) IN wanted
