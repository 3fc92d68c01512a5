-- How many events, or leads, there are of each type and group in each interval: of each
-- type the groups that are the largest in the whole range, and the others together, which
-- are called *. The events are read twice, first to find the largest groups: their number
-- is known then, so that what is held of each (intervals, sets of leads) is bounded. To hold
-- it of all groups and choose afterwards would take a set a lead for a path such as orderId.
WITH
    events AS
    (
        SELECT event_type, occurred_at, phone, metadata /* raw */ AS raw
        FROM lead_events FINAL /* final */
        PREWHERE organization_id = {organization:UInt64}
            AND event_type IN {types:Array(String)}
            AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
            AND occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
        WHERE 1 /* where */
    ),
    -- One text for each group: the value as JSON, [ and { for all arrays and objects.
    named AS
    (
        SELECT
            event_type,
            occurred_at,
            phone,
            multiIf(raw IN ('', 'null'), '', startsWith(raw, '['), '[', startsWith(raw, '{'), '{', raw = '-0', '0', raw) AS key
        FROM events
    ),
    -- Of groups that are equally large: false, true, numbers by their value, strings by code
    -- point, arrays, objects, nothing.
    largest AS
    (
        SELECT
            event_type,
            key,
            row_number() OVER (PARTITION BY event_type ORDER BY size DESC, rank, number, integer, text) AS place
        FROM
        (
            SELECT
                event_type,
                key,
                count() /* size */ AS size,
                multiIf(key = 'false', 0, key = 'true', 1, key >= '-' AND key < ':', 2, startsWith(key, '"'), 3, key = '[', 4, key = '{', 5, 6) AS rank,
                if(rank = 2, JSONExtractFloat(key), 0) AS number,
                if(rank = 2, toInt128OrZero(replaceOne(key, '.0', '')), 0) AS integer,
                if(rank = 3, JSONExtractString(key), '') AS text
            FROM named
            GROUP BY event_type, key
            ORDER BY size DESC, rank, number, integer, text
            LIMIT {limit:UInt64} BY event_type
        )
    )
SELECT
    toString(event_type) AS type,
    place,
    if(place = 0, '*', any(key)) AS name,
    0 /* start */ AS start,
    count() /* measure */ AS n
FROM named
LEFT ANY JOIN largest USING (event_type, key)
GROUP BY event_type, place, start
