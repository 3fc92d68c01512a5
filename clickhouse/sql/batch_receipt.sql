-- The latest version of one batch's receipt.
SELECT
    batch_id, state, event_type, key_id, idempotency_key, body_hash, run_id,
    received, inserted, duplicates, rejected,
    toUnixTimestamp64Milli(created_at), toUnixTimestamp64Milli(finished_at), conflicts, conflict_rows
FROM batches
WHERE organization_id = {organization:UInt64} AND batch_id = {batch:UInt64}
ORDER BY version DESC
LIMIT 1
