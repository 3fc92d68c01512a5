-- Of each granule of time the number of rows, how many of them are one too many, and the
-- moments of these. Rows of one key are told in the order in which the parts lie, so that
-- merging the parts is all it takes; a hash table of the keys takes half as long again and
-- 60 bytes a row. Rows of other parts than those that were counted do not belong to it: if the
-- number is not that of the count, parts have been merged meanwhile. Where more than 1,000 keys
-- of a granule stand twice, somebody has stored everything again, and the moments are not all
-- of them.
SELECT
    intDiv(moment, {width:Int64}) * {width:Int64} AS at,
    sum(copies) AS n,
    toUInt64(sum(copies) - count()) AS surplus,
    arrayFlatten(groupArrayIf(1000)(arrayWithConstant(copies - 1, moment), copies > 1)) AS moments
FROM
(
    SELECT toUnixTimestamp64Milli(occurred_at) AS moment, count() AS copies
    FROM lead_events
    WHERE organization_id = {organization:UInt64}
        AND event_type = {type:String}
        AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
        AND occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
        AND 1 /* ranges */
        AND _part IN {parts:Array(String)}
    GROUP BY occurred_at, phone
)
GROUP BY at
SETTINGS optimize_aggregation_in_order = 1
