-- Tables with parts in which deleted rows are only masked.
SELECT DISTINCT table
FROM system.parts
WHERE database = currentDatabase() AND active AND has_lightweight_delete
