-- Entries whose rows are gone, and may still lie in parts on the disk.
SELECT organization_id, entry, any(kind), toUnixTimestamp64Milli(min(written_at))
FROM journal
WHERE step = 'verified'
  AND (organization_id, entry) NOT IN (SELECT organization_id, entry FROM journal WHERE step = 'purged')
GROUP BY organization_id, entry
