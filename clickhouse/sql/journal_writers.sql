-- The statements on this server that write into this database at this moment.
SELECT query_id
FROM system.processes
WHERE query_kind IN ('Insert', 'AsyncInsertFlush') AND current_database = currentDatabase()
