-- Uploads that nothing was added to since a moment. One that still runs writes a part
-- now and then; a merge makes a part look younger than it is, which does no harm.
SELECT toUInt64(partition)
FROM system.parts
WHERE database = currentDatabase() AND table = 'audience_uploads' AND active
GROUP BY partition
HAVING toUnixTimestamp(max(modification_time)) * 1000 < {before:Int64}
