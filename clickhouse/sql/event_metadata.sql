-- The metadata of one event, by its key; FINAL, because its row may stand twice.
SELECT metadata
FROM lead_events FINAL
WHERE organization_id = {organization:UInt64}
  AND event_type = {event_type:String}
  AND occurred_at = fromUnixTimestamp64Milli({occurred_at:Int64}, 'UTC')
  AND phone = {phone:UInt64}
