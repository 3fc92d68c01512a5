-- All records of the undos that are not verified, of all organizations.
SELECT organization_id, entry, kind, step, pass, phone, key_id, sieve, sum, counts, layers, lists, batch_id, event_type, run_id, toUnixTimestamp64Milli(written_at)
FROM journal
WHERE kind = 'undo'
  AND (organization_id, entry) NOT IN (SELECT organization_id, entry FROM journal WHERE kind = 'undo' AND step = 'verified')
ORDER BY organization_id, entry
