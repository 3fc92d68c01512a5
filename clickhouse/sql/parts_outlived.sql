-- How many parts that were replaced before a moment are still on the disk, of the tables
-- that hold phones.
SELECT count()
FROM system.parts
WHERE database = currentDatabase() AND NOT active AND remove_time <= fromUnixTimestamp64Milli({since:Int64})
  AND table IN ('lead_events', 'lead_states', 'audience_leads', 'audience_uploads', 'send_lists', 'sends', 'send_leads', 'send_evidence', 'contested', 'batch_rejects', 'journal', 'undo_rows')
