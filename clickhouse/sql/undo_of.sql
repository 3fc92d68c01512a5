-- All records of the entries that undo batches.
SELECT entry, kind, step, pass, phone, key_id, sieve, sum, counts, layers, lists, batch_id, event_type, run_id, toUnixTimestamp64Milli(written_at)
FROM journal
WHERE organization_id = {organization:UInt64}
  AND entry IN (
      SELECT entry
      FROM journal
      WHERE organization_id = {organization:UInt64} AND kind = 'undo' AND step = 'begun' AND batch_id IN {batches:Array(UInt64)})
ORDER BY entry
