-- The leads of each type in fresh parts that are in no known part. Phones are compared first:
-- 12 ns a state, 150 with the type's name in each comparison. The pairs are what the sorting key
-- finds few leads by.
WITH keys AS
(
    SELECT DISTINCT event_type, phone
    FROM lead_states
    WHERE organization_id = {organization:UInt64} AND _part IN {fresh:Array(String)}
)
SELECT event_type, 0::UInt64, count(), 0::Int64, 0::Int64
FROM keys
WHERE (event_type, phone) NOT IN
(
    SELECT event_type, phone
    FROM lead_states
    PREWHERE phone IN (SELECT phone FROM keys)
    WHERE organization_id = {organization:UInt64} AND _part IN {known:Array(String)}
        AND (event_type, phone) IN (SELECT event_type, phone FROM keys)
)
GROUP BY event_type
