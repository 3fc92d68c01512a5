-- How many events, or leads, there are of each type in each interval.
SELECT
    toString(event_type) AS type,
    0 /* start */ AS start,
    count() /* measure */ AS n
FROM lead_events FINAL /* final */
PREWHERE organization_id = {organization:UInt64}
    AND event_type IN {types:Array(String)}
    AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    AND occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
WHERE 1 /* where */
GROUP BY event_type, start
