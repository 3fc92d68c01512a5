-- How many of some statements still run.
SELECT count()
FROM system.processes
WHERE query_id IN {ids:Array(String)}
