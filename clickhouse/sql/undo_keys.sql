-- Which keys entries remove, with the batches of their rows: the ledger gives up those
-- that these own.
SELECT DISTINCT event_type, phone, toUnixTimestamp64Milli(occurred_at), batch_id
FROM undo_rows
WHERE organization_id = {organization:UInt64} AND entry IN {entries:Array(UInt64)}
