-- Both sides of some leads (the external table leads), as states_compare has them.
SELECT phone, min(a), max(b), min(c), max(d)
FROM
(
    SELECT phone, toUnixTimestamp64Milli(occurred_at) AS a, a AS b, 9000000000000000000::Int64 AS c, -9000000000000000000::Int64 AS d
    FROM lead_events
    WHERE organization_id = {organization:UInt64} AND event_type = {event_type:String} AND phone IN leads
    UNION ALL
    SELECT phone, 9000000000000000000::Int64, -9000000000000000000::Int64, toUnixTimestamp64Milli(first_at), toUnixTimestamp64Milli(last_at)
    FROM lead_states
    WHERE organization_id = {organization:UInt64} AND event_type = {event_type:String} AND phone IN leads
)
GROUP BY phone
