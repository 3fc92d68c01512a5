-- A number an organization that changes with every erasure and every return.
SELECT organization_id, sum(cityHash64(entry, step))
FROM journal
WHERE kind = 'erase' AND step IN ('begun', 'allowed')
GROUP BY organization_id
