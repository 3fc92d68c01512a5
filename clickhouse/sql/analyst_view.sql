-- Of which organization the view in a database is, and of which version.
SELECT comment
FROM system.tables
WHERE database = {database:String} AND name = 'events'
