-- The states of keys whose rows are known to be stored, whatever became of theirs.
INSERT INTO lead_states (organization_id, event_type, phone, first_at, last_at)
SELECT {organization:UInt64}, {event_type:String}, phone, min(occurred_at), max(occurred_at)
FROM keys
GROUP BY phone
