-- The events of each type in fresh parts that are in no known part. The fresh keys are looked
-- up in the order of the sorting key, so that few granules are read where they are of a few
-- days.
WITH keys AS
(
    SELECT DISTINCT event_type, occurred_at, phone
    FROM lead_events
    WHERE organization_id = {organization:UInt64} AND _part IN {fresh:Array(String)}
)
SELECT event_type, count(), 0::UInt64, toUnixTimestamp64Milli(min(occurred_at)), toUnixTimestamp64Milli(max(occurred_at))
FROM keys
WHERE (event_type, occurred_at, phone) NOT IN
(
    SELECT event_type, occurred_at, phone
    FROM lead_events
    WHERE organization_id = {organization:UInt64} AND _part IN {known:Array(String)}
        AND (event_type, occurred_at, phone) IN (SELECT event_type, occurred_at, phone FROM keys)
)
GROUP BY event_type
