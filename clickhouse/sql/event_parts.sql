-- What the tables of events and states consist of at this moment: their parts, in the order of
-- their blocks. A part that was never mutated has the number of its first block
-- as its data_version.
SELECT
    toInt64(toUnixTimestamp(now())) - toInt64(uptime()) AS started,
    toString(t.uuid),
    p.table,
    p.partition_id,
    p.name,
    p.min_block_number,
    p.max_block_number,
    if(p.data_version > p.min_block_number, toInt64(p.data_version), 0::Int64) AS mutation,
    sipHash64(p.hash_of_all_files),
    p.rows
FROM system.parts AS p
INNER JOIN system.tables AS t ON t.database = p.database AND t.name = p.table
WHERE p.database = currentDatabase() AND p.table IN ('lead_events', 'lead_states') AND p.active
    AND t.database = currentDatabase() AND t.name IN ('lead_events', 'lead_states')
ORDER BY p.table, p.partition_id, p.min_block_number
