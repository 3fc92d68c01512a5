-- Removes the states of a slice that reach beyond the rows, or have none. Which these are
-- is asked here: a mutation's text lies on the disk for long, and must show no phone. Rows
-- can be seen before their states, and the mutation touches no part that is younger than
-- it: so a lead that has rows keeps a state that they came with meanwhile.
DELETE FROM lead_states
WHERE organization_id = {organization:UInt64} AND event_type = {event_type:String}
  AND phone IN (
    SELECT phone
    FROM (
        SELECT phone, toUnixTimestamp64Milli(occurred_at) AS a, a AS b, 9000000000000000000::Int64 AS c, -9000000000000000000::Int64 AS d
        FROM lead_events
        WHERE organization_id = {organization:UInt64} AND event_type = {event_type:String} AND intHash64(phone) % {slices:UInt64} = {slice:UInt64}
        UNION ALL
        SELECT phone, 9000000000000000000::Int64, -9000000000000000000::Int64, toUnixTimestamp64Milli(first_at), toUnixTimestamp64Milli(last_at)
        FROM lead_states
        WHERE organization_id = {organization:UInt64} AND event_type = {event_type:String} AND intHash64(phone) % {slices:UInt64} = {slice:UInt64})
    GROUP BY phone
    HAVING min(c) <= max(d) AND (max(d) > max(b) OR min(c) < min(a) AND (NOT {expires:Bool} OR min(a) > max(b))))
