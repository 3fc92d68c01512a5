-- By what an organization's erased leads are known, but for those that were allowed again.
SELECT key_id, sieve, sum
FROM journal
WHERE organization_id = {organization:UInt64} AND kind = 'erase' AND step = 'begun'
  AND entry NOT IN (SELECT entry FROM journal WHERE organization_id = {organization:UInt64} AND step = 'allowed')
