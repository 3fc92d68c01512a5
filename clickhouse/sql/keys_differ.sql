-- Which of these keys are stored with other metadata than they came with, told by hash? The
-- look-up is that of keys_find, as it is for keys of few days, since all of these are stored; only
-- what differs is answered.
SELECT occurred_at, phone, xxHash64(metadata)
FROM lead_events
WHERE organization_id = {organization:UInt64}
  AND event_type = {event_type:String}
  AND (occurred_at, phone) IN (SELECT occurred_at, phone FROM keys)
  AND (occurred_at, phone, xxHash64(metadata)) NOT IN (SELECT occurred_at, phone, hash FROM keys)
