-- All commits of one audience.
SELECT
    audience_id, sequence, layer, base, replaces, deleted, merged, leads,
    toUnixTimestamp64Milli(since), toUnixTimestamp64Milli(changed_at), toUnixTimestamp64Milli(committed_at)
FROM audience_layers
WHERE organization_id = {organization:UInt64} AND audience_id = {audience:String}
