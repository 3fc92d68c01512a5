-- Runs of an organization, newest first by their first batch, from a position on, or one
-- of them. Batches lie by id, so this reads run_id of all of the organization's: a byte or
-- two a row before compression, long stretches of the empty one; the index on it leaves
-- out granules where one run is asked for. The other columns are read for batches of runs
-- alone. The version of a batch that counts is its latest.
SELECT
    run, count() AS batches, countIf(last_state = 'undone') AS undone,
    countIf(last_state != 'undone' AND batch_id IN (
        SELECT batch_id
        FROM journal
        WHERE organization_id = {organization:UInt64} AND kind = 'undo' AND step = 'begun')) AS undoing,
    sum(all_received), sum(all_inserted), sum(all_duplicates), sum(all_rejected),
    toUnixTimestamp64Milli(min(created) AS first) AS first_at, toUnixTimestamp64Milli(max(created))
FROM
(
    SELECT
        batch_id, any(run_id) AS run, argMax(state, version) AS last_state,
        argMax(received, version)::UInt64 AS all_received, argMax(inserted, version)::UInt64 AS all_inserted,
        argMax(duplicates, version)::UInt64 AS all_duplicates, argMax(rejected, version)::UInt64 AS all_rejected,
        any(created_at) AS created
    FROM batches
    WHERE organization_id = {organization:UInt64} AND run_id != '' AND ({run:String} = '' OR run_id = {run:String})
    GROUP BY batch_id
)
GROUP BY run
HAVING {after:Int64} = 0 OR (first_at, run) < ({after:Int64}, {after_run:String})
ORDER BY first_at DESC, run DESC
LIMIT {limit:UInt32}
