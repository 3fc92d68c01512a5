-- The events of each type in some parts of a partition (none: in all of it), exactly: FINAL makes the rows of one
-- event one, and rows of one event lie in one partition. 135 ns of processor time a row, which
-- is why it is remembered (event_types.go). The number of rows alone takes 6 ns, and the
-- duplicates among them cannot be told from it; grouping by the key, sorting by it
-- and LIMIT 1 BY cost as much as FINAL or more, and uniqExact has all keys in memory.
SELECT event_type, count(), 0::UInt64, toUnixTimestamp64Milli(min(occurred_at)), toUnixTimestamp64Milli(max(occurred_at))
FROM lead_events FINAL
WHERE organization_id = {organization:UInt64} AND _partition_id = {partition:String} AND (empty({parts:Array(String)}) OR _part IN {parts:Array(String)})
GROUP BY event_type
