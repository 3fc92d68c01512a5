-- Every stored list, and whether it was written before a moment.
SELECT organization_id, list, toUnixTimestamp(max(written_at)) * 1000 < {before:Int64}
FROM send_lists
GROUP BY organization_id, list
SETTINGS optimize_aggregation_in_order = 1
