-- All records of the entries that name a phone, of all organizations. Almost every row's
-- is 0, so the look at that column alone says which there are.
SELECT organization_id, entry, kind, step, pass, phone, key_id, sieve, sum, counts, layers, lists, batch_id, event_type, run_id, toUnixTimestamp64Milli(written_at)
FROM journal
WHERE (organization_id, entry) IN (SELECT organization_id, entry FROM journal WHERE phone != 0)
ORDER BY organization_id, entry
