-- Events, leads and numbers of the largest groups of events, of the others together (*), and
-- of all (whole = 1). The events are read twice, as in report_timeseries_groups.sql.
WITH
    events AS
    (
        SELECT event_type, phone, metadata /* raw */ AS raw, '' /* number */ AS written
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
            phone,
            multiIf(raw IN ('', 'null'), '', startsWith(raw, '['), '[', startsWith(raw, '{'), '{', raw = '-0', '0', raw) AS key,
            written >= '-' AND written < ':' AS is_number,
            if(is_number, JSONExtractFloat(written), 0) AS nearest,
            -- Such a float is written with at most 17 digits, which end before the 25th decimal.
            is_number AND (nearest = 0 OR abs(nearest) >= 1e-7 AND abs(nearest) < 1e40) AS exactly,
            written
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
    grouping(place) AS whole,
    place,
    if(place = 0, '*', any(key)) AS name,
    toUInt64(count()) AS events,
    uniqExact(phone) /* leads */ AS leads,
    toUInt64(countIf(is_number)) AS numbers,
    toUInt64(countIf(exactly)) AS digit_for_digit,
    toString(sumIf(toDecimal256OrZero(written, 24), exactly)) AS total,
    sumIf(nearest, is_number AND NOT exactly) AS loose,
    argMinIf(written, (nearest, toInt128OrZero(replaceOne(written, '.0', ''))), is_number) AS smallest,
    argMaxIf(written, (nearest, toInt128OrZero(replaceOne(written, '.0', ''))), is_number) AS biggest,
    []::Array(Float64) /* quantiles */ AS levels
FROM named
LEFT ANY JOIN largest USING (event_type, key)
GROUP BY place WITH ROLLUP
