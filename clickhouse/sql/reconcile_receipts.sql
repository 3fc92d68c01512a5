-- Receipts and the keys of their batches, by type and day of ingestion; see package
-- reconcile. A receipt of these days may be of a call that was begun a day earlier (an
-- Idempotency-Key) or whose key another's row stands for, so both sides are read a day
-- and an hour more on either end, and batches chosen when they are whole.
--
-- alone are keys that only the batch can have: the winner's where they were contested.
-- shared are keys of which two batches have rows, and no contest says whose they are.
WITH
    fromUnixTimestamp64Milli({from:Int64}, 'UTC') AS begin,
    fromUnixTimestamp64Milli({to:Int64}, 'UTC') AS end,
    fromUnixTimestamp64Milli({settled:Int64}, 'UTC') AS settled,
    INTERVAL 25 HOUR AS slack
SELECT
    type, toString(day),
    countIf(answered), sumIf(told, answered AND NOT undone), sumIf(alone + least(shared, greatest(toInt64(told) - toInt64(alone), 0)), answered AND NOT undone),
    sumIf(alone, NOT answered),
    sum(missing), argMax(batch, missing), sum(surplus), argMax(batch, surplus), sum(left), argMax(batch, left),
    count() OVER (), countIf(sum(missing) + sum(surplus) + sum(left) > 0) OVER ()
FROM
(
    SELECT
        batch, any(type) AS type, max(receipt) AS answered, max(is_undone) AS undone,
        sum(told_) AS told, sum(alone_) AS alone, sum(shared_) AS shared,
        toDate(if(answered, maxIf(at, receipt), minIf(at, NOT receipt)), 'UTC') AS day,
        if(answered AND NOT undone, greatest(toInt64(told) - toInt64(alone) - toInt64(shared), 0), 0) AS missing,
        if(answered AND NOT undone, greatest(toInt64(alone) - toInt64(told), 0), 0) AS surplus,
        if(undone, alone, 0) AS left
    FROM
    (
        SELECT
            batch_id AS batch, CAST(argMax(event_type, version), 'String') AS type, true AS receipt, argMax(state, version) = 'undone' AS is_undone,
            argMax(created_at, version) AS at, argMax(finished_at, version) AS ended,
            toUInt64(argMax(inserted, version)) AS told_, toUInt64(0) AS alone_, toUInt64(0) AS shared_
        FROM batches
        WHERE organization_id = {organization:UInt64} AND created_at >= begin - slack AND created_at < end + slack
        GROUP BY batch_id
        UNION ALL
        SELECT
            owner, CAST(event_type, 'String'), false, false, min(ingested), min(ingested), toUInt64(0), countIf(sole), countIf(NOT sole)
        FROM
        (
            SELECT event_type, ingested, arrayJoin(if(won, [winner], versions)) AS owner, won OR length(versions) = 1 AS sole
            FROM
            (
                SELECT event_type, ingested, versions, winner, winner != 0 AND hasAny(versions, arrayPushBack(losers, winner)) AS won
                FROM
                (
                    SELECT event_type, occurred_at, phone, groupUniqArray(batch_id) AS versions, min(ingested_at) AS ingested
                    FROM lead_events
                    WHERE organization_id = {organization:UInt64} AND ingested_at >= begin - slack AND ingested_at < end + slack
                    GROUP BY event_type, occurred_at, phone
                ) AS kept
                LEFT JOIN
                (
                    SELECT event_type, occurred_at, phone, argMax(winner, recorded_at) AS winner, groupUniqArray(loser) AS losers
                    FROM contested
                    WHERE organization_id = {organization:UInt64}
                    GROUP BY event_type, occurred_at, phone
                ) AS lost USING (event_type, occurred_at, phone)
            )
        )
        GROUP BY owner, event_type
    )
    GROUP BY batch
    HAVING if(answered, maxIf(at, receipt) >= begin AND maxIf(at, receipt) < end AND maxIf(ended, receipt) < settled,
              minIf(at, NOT receipt) >= begin AND minIf(at, NOT receipt) < least(end, settled))
)
GROUP BY type, day
ORDER BY sum(missing) + sum(surplus) + sum(left) = 0, day, type -- so that a cut hides what differs last
LIMIT {limit:UInt64}
