-- The cold check: which of these keys are stored, by which batch and since when?
-- No FINAL: every version of a row is wanted, since a merge keeps either of two
-- rows with one key and the ledger must know of both. One type of one
-- organization is a contiguous stretch of the sorting key, and (occurred_at,
-- phone) IN walks it granule by granule: 30-47 ms for 50,000 keys of one day,
-- 120-145 ms spread over a year, in 10 million rows of the type.
SELECT occurred_at, phone, batch_id, ingested_at
FROM lead_events
WHERE organization_id = {organization:UInt64}
  AND event_type = {event_type:String}
  AND (occurred_at, phone) IN keys
