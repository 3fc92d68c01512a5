-- The cold check: which of these keys are stored, by which batch and since when?
-- No FINAL: every version of a row is wanted, since a merge keeps either of two
-- rows with one key and the ledger must know of both. One type of one
-- organization is a contiguous stretch of the sorting key, and (occurred_at,
-- phone) IN walks it granule by granule: 40 ms for 50,000 keys of one day among
-- 20 million rows, half of them stored (make bench-coldcheck). Keys of many days meet every
-- granule, and rows that have the moment of a key are rare unless it is stored: then table is
-- lead_events with PREWHERE occurred_at IN, so that of most granules no other column is
-- read, neither the organization's. Over five years that is 148 ms instead of 217 where none is
-- stored, and as much, give or take a tenth, where half are; for the day it is 1.1 to 1.4 times as much.
-- A semi join with IN as a hint for the index needs a fifth less CPU than IN alone over the years where
-- half are stored, as much where none is, and twice as much for the day. The tuple in PREWHERE,
-- sorting the keys first, time bounds, smaller blocks
-- and a query per partition gain nothing; as literals the keys cost 520 MiB.
SELECT occurred_at, phone, batch_id, ingested_at
FROM lead_events /* table */
WHERE organization_id = {organization:UInt64}
  AND event_type = {event_type:String}
  AND (occurred_at, phone) IN keys
