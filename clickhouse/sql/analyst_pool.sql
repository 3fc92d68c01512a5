-- Whose the users are that were made ahead: the view in the database of each says it.
SELECT database, comment
FROM system.tables
WHERE database LIKE {pattern:String} AND name = 'events'
