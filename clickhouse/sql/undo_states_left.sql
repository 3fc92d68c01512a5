-- Of how many leads and types of entries the state is not what the rows say. Both sides
-- read whole types: a set of leads leaves no granule out.
WITH leads AS
(
    SELECT DISTINCT event_type, phone
    FROM undo_rows
    WHERE organization_id = {organization:UInt64} AND entry IN {entries:Array(UInt64)}
)
SELECT count()
FROM
(
    SELECT event_type, phone, sum(side) AS sides, min(first) AS one, max(first) AS two, min(last) AS three, max(last) AS four
    FROM
    (
        SELECT event_type, phone, 1 AS side, min(first_at) AS first, max(last_at) AS last
        FROM lead_states
        WHERE organization_id = {organization:UInt64} AND event_type IN {types:Array(String)} AND (event_type, phone) IN (SELECT event_type, phone FROM leads)
        GROUP BY event_type, phone
        UNION ALL
        SELECT event_type, phone, 2 AS side, min(occurred_at) AS first, max(occurred_at) AS last
        FROM lead_events
        WHERE organization_id = {organization:UInt64} AND event_type IN {types:Array(String)} AND (event_type, phone) IN (SELECT event_type, phone FROM leads)
        GROUP BY event_type, phone
    )
    GROUP BY event_type, phone
)
WHERE sides != 3 OR one != two OR three != four
