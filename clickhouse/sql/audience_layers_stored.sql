-- Every stored layer, and whether it was written before a moment. The group key is a
-- prefix of the sorting key: 40 ms for 10 million leads.
SELECT organization_id, layer, toUnixTimestamp(max(written_at)) * 1000 < {before:Int64}
FROM audience_leads
GROUP BY organization_id, layer
SETTINGS optimize_aggregation_in_order = 1
