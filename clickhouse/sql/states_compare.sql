-- The leads of a slice of a type whose state is not that of their rows: min and max of
-- both sides, grouped together, so neither side must come in any order, and what does
-- not fit into memory goes to the disk. A side that is not there is min's and max's neutral
-- element, which says so without further columns.
WITH
    rows_first > rows_last AS extra,
    first > last AS missing,
    NOT missing AND NOT extra AND (last > rows_last OR first < rows_first AND NOT {expires:Bool}) AS wide,
    NOT missing AND NOT extra AND NOT wide AND (first > rows_first OR last < rows_last) AS narrow,
    missing OR extra OR wide OR narrow AS differs
SELECT
    count(), countIf(missing), countIf(narrow), countIf(wide), countIf(extra),
    groupArrayIf(1000)(phone, differs),
    groupArrayIf(1000)(rows_first, differs), groupArrayIf(1000)(rows_last, differs),
    groupArrayIf(1000)(first, differs), groupArrayIf(1000)(last, differs)
FROM
(
    SELECT phone, min(a) AS rows_first, max(b) AS rows_last, min(c) AS first, max(d) AS last
    FROM
    (
        SELECT phone, toUnixTimestamp64Milli(occurred_at) AS a, a AS b, 9000000000000000000::Int64 AS c, -9000000000000000000::Int64 AS d
        FROM lead_events
        WHERE organization_id = {organization:UInt64} AND event_type = {event_type:String} AND intHash64(phone) % {slices:UInt64} = {slice:UInt64}
        UNION ALL
        SELECT phone, 9000000000000000000::Int64, -9000000000000000000::Int64, toUnixTimestamp64Milli(first_at), toUnixTimestamp64Milli(last_at)
        FROM lead_states
        WHERE organization_id = {organization:UInt64} AND event_type = {event_type:String} AND intHash64(phone) % {slices:UInt64} = {slice:UInt64}
    )
    GROUP BY phone
)
