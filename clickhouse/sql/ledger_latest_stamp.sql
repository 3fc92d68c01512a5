-- The latest stamp of all rows: the index of ingested_at leaves few granules to be read.
SELECT toUnixTimestamp64Milli(max(ingested_at))
FROM lead_events
WHERE ingested_at >= fromUnixTimestamp64Milli({since:Int64})
