-- How many leads reach each step of a funnel, and the median time from step to step: of
-- all (whole = 1), and of the groups of those who start, the largest first, the others
-- together (*).
--
-- An event is a number: its moment in ms + 1 (0 is none), the place of its type among the
-- steps, and a bit for each step that it meets. So a lead's events are an array that
-- sorts by time and compares at 8 bytes each; rows that stand twice are equal numbers.
--
-- The chains of a lead are made from the last step to the first, each array beside its
-- events: what follows an event is the chain of the next one that meets the next step,
-- which arrayReverseFill carries back to where it is looked for. Each step costs one walk
-- along the events, also of a lead with a million of them; to search the next event for
-- each start would cost their square, and an arrayFold copies its state for each event.
-- A chain does not depend on the window: each step is the earliest that may be, so the
-- window cuts it off where it ends.
--
-- To group the events as arrays costs most, half a microsecond a lead. So where
-- no metadata is read, only leads are grouped that have an event of the second step after one of
-- the first, which takes two numbers a lead to know; those who get no further than the first
-- step are counted by their phones (whole = 2): of 5.9 million leads with 10.8 million events
-- 0.7 million are grouped, and it takes 1.5 s instead of 2.7. Where metadata is read, and that
-- costs more, all are.
--
-- Tried and not faster: HAVING bitTest(groupBitOr(event), 0) in leads, so that those who never start
-- are not sorted (2.9 s instead of 2.6); IN the phones of the second step, and of the first among these, instead of
-- grouping candidates (4.7 to 6.7 s instead of 2.8 to 3.4 in the same hour, for one thread fills a set).
WITH
    events AS
    (
        SELECT
            phone,
            event_type,
            bitOr(bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at) + 1), 14), 0 /* steps */) AS event,
            '' /* raw */ AS raw
        FROM lead_events FINAL /* final */
        PREWHERE organization_id = {organization:UInt64}
            AND event_type IN {types:Array(String)}
            AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
            AND occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
        WHERE bitAnd(event, 1023) != 0
    ),
    candidates AS
    (
        SELECT phone
        FROM events
        WHERE event_type IN {first_types:Array(String)}
        GROUP BY phone
        HAVING minIf(event, bitTest(event, 0) AND bitShiftRight(event, 14) <= {end:UInt64}) < maxIf(event, bitTest(event, 1))
            AND minIf(event, bitTest(event, 0) AND bitShiftRight(event, 14) <= {end:UInt64}) > 0
    ),
    leads AS
    (
        SELECT
            -- The 0 at the end meets no step: nothing follows the last event.
            arrayPushBack(arrayCompact(arraySort(groupArray(event))), 0::UInt64) AS sorted,
            []::Array(Tuple(UInt64,String)) /* starts */ AS starts
        FROM events
        WHERE 1 /* candidates */
        GROUP BY phone
    ),
    chained AS
    (
        SELECT [] /* chains */ AS chains, starts
        FROM leads
        WHERE notEmpty(chains)
    ),
    -- For each chain, how many of its steps lie within the window.
    measured AS
    (
        SELECT chains, [] /* depths */ AS depths, starts
        FROM chained
    ),
    furthest AS
    (
        SELECT
            arrayMax(depths) AS reached,
            chains[indexOf(depths, reached)] AS chain,
            arrayFirst(e -> bitShiftRight(e.1, 14) = chain.1, starts).2 AS start
        FROM measured
    ),
    named AS
    (
        SELECT
            reached,
            chain,
            multiIf(start IN ('', 'null'), '', startsWith(start, '['), '[', startsWith(start, '{'), '{', start = '-0', '0', start) AS key
        FROM furthest
    ),
    -- A state an event of a step that was reached, whatever the number of groups.
    grouped AS
    (
        SELECT
            key,
            count() AS size,
            [] /* counts */ AS counts,
            tuple() /* medians */ AS medians,
            multiIf(key = 'false', 0, key = 'true', 1, key >= '-' AND key < ':', 2, startsWith(key, '"'), 3, key = '[', 4, key = '{', 5, 6) AS rank,
            if(rank = 2, JSONExtractFloat(key), 0) AS number,
            if(rank = 2, toInt128OrZero(replaceOne(key, '.0', '')), 0) AS integer,
            if(rank = 3, JSONExtractString(key), '') AS text
        FROM named
        GROUP BY key
    )
SELECT
    grouping(place) AS whole,
    place,
    if(place > {limit:UInt64}, '*', any(key)) AS name,
    sumForEach(counts) AS reached,
    [] /* merged */ AS millis
FROM
(
    SELECT
        least(row_number() OVER (ORDER BY size DESC, rank, number, integer, text), {limit:UInt64} + 1) AS place,
        key,
        counts,
        medians
    FROM grouped
)
GROUP BY place WITH ROLLUP
UNION ALL
SELECT 2, 0, '', [uniqExact(phone)], []::Array(Int64)
FROM events
WHERE 0 /* starters */
