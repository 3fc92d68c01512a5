-- The leads of each type, exactly: a bitmap of their phones, which lie in order. Of
-- 18.5 million states (33 million events) 0.85 s of processor time; uniqExact took 1.9 s,
-- FINAL 2.1 s, grouping by type and phone in the order of the key 9 s.
SELECT event_type, groupBitmap(phone)
FROM lead_states
WHERE organization_id = {organization:UInt64}
GROUP BY event_type
