-- What the tables of events and states consist of at this moment. As long as none of it
-- changes, what was counted there is still right.
SELECT table, partition_id, arrayStringConcat(arraySort(groupArray(name)), ' ')
FROM system.parts
WHERE database = currentDatabase() AND table IN ('lead_events', 'lead_states') AND active
GROUP BY table, partition_id
ORDER BY table, partition_id
