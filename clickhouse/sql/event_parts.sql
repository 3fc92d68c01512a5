-- What the tables of events and states consist of at this moment: their parts, told by
-- names and by what they hold, for a table that was restored gives names again. As
-- long as none of it changes, what was counted there is still right.
SELECT table, partition_id, hex(sipHash128(arraySort(groupArray((name, hash_of_all_files)))))
FROM system.parts
WHERE database = currentDatabase() AND table IN ('lead_events', 'lead_states') AND active
GROUP BY table, partition_id
ORDER BY table, partition_id
