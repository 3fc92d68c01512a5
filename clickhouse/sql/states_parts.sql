-- How many rows lie in all parts of the states, and in the largest.
SELECT sum(rows) AS all, max(rows) AS largest
FROM system.parts
WHERE active AND database = currentDatabase() AND table = 'lead_states'
