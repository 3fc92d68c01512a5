-- How many keys entries remove, and of how many leads and types the state is told anew.
SELECT entry, uniqExact(event_type, occurred_at, phone), uniqExact(event_type, phone)
FROM undo_rows
WHERE organization_id = {organization:UInt64} AND entry IN {entries:Array(UInt64)}
GROUP BY entry
