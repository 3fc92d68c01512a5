-- The states of all rows of a slice of a type.
INSERT INTO lead_states (organization_id, event_type, phone, first_at, last_at)
SELECT organization_id, event_type, phone, min(occurred_at), max(occurred_at)
FROM lead_events
WHERE organization_id = {organization:UInt64} AND event_type = {event_type:String} AND intHash64(phone) % {slices:UInt64} = {slice:UInt64}
GROUP BY organization_id, event_type, phone
