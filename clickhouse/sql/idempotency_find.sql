-- Which batch answers for an Idempotency-Key of the last 24 hours?
SELECT batch_id, body_hash, toUnixTimestamp64Milli(created_at)
FROM idempotency_keys
WHERE organization_id = {organization:UInt64}
  AND idempotency_key = {key:String}
  AND created_at >= fromUnixTimestamp64Milli({since:Int64})
ORDER BY created_at DESC
LIMIT 1
