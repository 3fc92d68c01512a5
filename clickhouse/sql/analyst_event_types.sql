-- Types that an organization has had: the keys of the states begin with them, and of
-- each only the first row of a granule is looked at.
SELECT DISTINCT CAST(event_type, 'String') AS type
FROM lead_states
WHERE organization_id = {organization:UInt64}
ORDER BY type
LIMIT {most:UInt64}
