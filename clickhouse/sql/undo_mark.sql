-- The receipts of batches once more, as undone: a version behind the last. Of one that is
-- undone already nothing comes of it.
INSERT INTO batches
    (organization_id, batch_id, version, state, event_type, key_id, idempotency_key, body_hash, run_id, received, inserted, duplicates, rejected, conflicts, conflict_rows, created_at, finished_at)
SELECT organization_id, batch_id, version + 1, 'undone', event_type, key_id, idempotency_key, body_hash, run_id, received, inserted, duplicates, rejected, conflicts, conflict_rows, created_at, finished_at
FROM
(
    SELECT *
    FROM batches
    WHERE organization_id = {organization:UInt64} AND batch_id IN {batches:Array(UInt64)}
    ORDER BY version DESC
    LIMIT 1 BY batch_id
)
WHERE state = 'done'
