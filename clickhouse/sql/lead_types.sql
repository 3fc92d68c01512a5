-- The types of which a lead has had events, each with the first and the last time: where
-- to look for them. States lie by type before phone, so this looks into a granule for each
-- type and part.
SELECT event_type, min(first_at), max(last_at)
FROM lead_states
WHERE organization_id = {organization:UInt64}
  AND phone = {phone:UInt64}
  AND (empty({types:Array(String)}) OR has({types:Array(String)}, event_type))
GROUP BY event_type
