-- All commits of some of an organization's audiences, the first by id after a given one.
SELECT
    audience_id, sequence, layer, base, replaces, deleted, merged, leads,
    toUnixTimestamp64Milli(since), toUnixTimestamp64Milli(changed_at), toUnixTimestamp64Milli(committed_at)
FROM audience_layers
WHERE organization_id = {organization:UInt64}
  AND audience_id IN (
      SELECT audience_id
      FROM audience_layers
      WHERE organization_id = {organization:UInt64} AND audience_id > {after:String}
      GROUP BY audience_id
      ORDER BY audience_id
      LIMIT {limit:UInt32})
ORDER BY audience_id
