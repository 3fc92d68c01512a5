-- The rows of a type, those that stand twice counted twice, by granule of time and part: two
-- numbers to group by, and the part's name of any row (by name it would be twice the time).
-- started tells one server from the next.
SELECT
    intDiv(toUnixTimestamp64Milli(occurred_at), {width:Int64}) * {width:Int64} AS at,
    0::Int64 /* start */ AS start,
    toString(any(_part)) AS part,
    count() AS n,
    toInt64(toUnixTimestamp(now())) - toInt64(uptime()) AS started
FROM lead_events
WHERE organization_id = {organization:UInt64}
    AND event_type = {type:String}
    AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    AND occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
GROUP BY at, start, _part_index
