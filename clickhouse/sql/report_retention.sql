-- How many leads each cohort has (returned_in = -1), and how many of them returned in each
-- period. A lead's first event is the earliest of all times; what came back is, of each
-- period, its last event, which tells whether one of them came behind the first one. Both
-- are of one GROUP BY, so nothing is joined.
WITH
    leads AS
    (
        SELECT
            phone,
            min(first) AS began,
            groupArrayIf((period, last), period != -1) AS periods
        FROM
        (
            SELECT phone, toUnixTimestamp64Milli(first_at) AS first, -1::Int64 AS period, -1::Int64 AS last
            FROM lead_states /* firsts */
            WHERE organization_id = {organization:UInt64} AND event_type = {first_type:String}
            UNION ALL
            SELECT phone, 9223372036854775807::Int64 AS first, 0 /* start */ AS period, max(toUnixTimestamp64Milli(occurred_at)) AS last
            FROM lead_events FINAL /* final */
            PREWHERE organization_id = {organization:UInt64}
                AND event_type = {returning_type:String}
                AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
                AND occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
            WHERE 1 /* where */
            GROUP BY phone, period
        )
        GROUP BY phone
        HAVING began >= {from:Int64} AND began < {until:Int64}
    )
SELECT
    cohort,
    arrayJoin(arrayPushFront(
        arrayMap(p -> p.1, arrayFilter(p -> p.2 >= began + {apart:Int64}, periods)),
        -1::Int64)) AS returned_in,
    toUInt64(count()) AS n
FROM
(
    SELECT began, periods, 0 /* cohort */ AS cohort
    FROM leads
)
GROUP BY cohort, returned_in
