-- The rows of a type, those that stand twice counted twice, by granule of time and part: two
-- numbers to group by, and the part's name of any row (by name it would be twice the time).
-- A granule's number is a division of 32 bits, of what is left of the milliseconds since the
-- first granule when those of their bits that no granule's start has are shifted out: one of
-- 64 bits was a quarter of the query. Of 32 bits each, the two numbers are one key.
-- started tells one server from the next.
SELECT
    {base:Int64} + granule * {width:Int64} AS at,
    0::Int64 /* start */ AS start,
    toString(any(_part)) AS part,
    count() AS n,
    toInt64(toUnixTimestamp(now())) - toInt64(uptime()) AS started
FROM lead_events
WHERE organization_id = {organization:UInt64}
    AND event_type = {type:String}
    AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    AND occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
GROUP BY
    intDiv(toUInt32(bitShiftRight(toUnixTimestamp64Milli(occurred_at) - {base:Int64}, {shift:UInt8})), {unit:UInt32}) AS granule,
    start,
    toUInt32(_part_index)
