-- All records of the entries of a lead, by what it hashes to. sums are the hashes in hex.
SELECT entry, kind, step, pass, phone, key_id, sieve, sum, counts, layers, lists, batch_id, event_type, run_id, toUnixTimestamp64Milli(written_at)
FROM journal
WHERE organization_id = {organization:UInt64}
  AND entry IN (
      SELECT entry
      FROM journal
      WHERE organization_id = {organization:UInt64} AND step = 'begun' AND sieve IN {sieves:Array(UInt64)} AND hex(sum) IN {sums:Array(String)})
ORDER BY entry
