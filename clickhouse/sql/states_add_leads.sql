-- The states of all rows of some leads (the external table leads).
INSERT INTO lead_states (organization_id, event_type, phone, first_at, last_at)
SELECT organization_id, event_type, phone, min(occurred_at), max(occurred_at)
FROM lead_events
WHERE organization_id = {organization:UInt64} AND event_type = {event_type:String} AND phone IN leads
GROUP BY organization_id, event_type, phone
