-- The latest version of each receipt of some batches ("wanted" comes with the
-- query).
SELECT
    organization_id,
    batch_id, state, event_type, key_id, idempotency_key, body_hash, run_id,
    received, inserted, duplicates, rejected,
    toUnixTimestamp64Milli(created_at), toUnixTimestamp64Milli(finished_at), conflicts, conflict_rows
FROM batches
WHERE (organization_id, batch_id) IN wanted
ORDER BY version DESC
LIMIT 1 BY organization_id, batch_id
