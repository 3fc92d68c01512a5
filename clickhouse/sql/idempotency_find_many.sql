-- Which batch answers for each of some Idempotency-Keys of the last 24 hours?
-- "wanted" comes with the query; the sorting key finds each in its granule.
SELECT organization_id, idempotency_key, batch_id, body_hash, toUnixTimestamp64Milli(created_at)
FROM idempotency_keys
WHERE (organization_id, idempotency_key) IN wanted
  AND created_at >= fromUnixTimestamp64Milli({since:Int64})
ORDER BY created_at DESC
LIMIT 1 BY organization_id, idempotency_key
