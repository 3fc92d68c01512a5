-- How far a statement is, while its answer is being read.
SELECT read_rows, read_bytes
FROM system.processes
WHERE query_id = {id:String}
