-- A batch's rejects in the order of the call.
SELECT position, phone, reason
FROM batch_rejects FINAL
WHERE organization_id = {organization:UInt64} AND batch_id = {batch:UInt64}
ORDER BY position
LIMIT {limit:UInt32}
