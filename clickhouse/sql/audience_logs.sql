-- All commits of all audiences.
SELECT
    organization_id,
    audience_id, sequence, layer, base, replaces, deleted, merged, leads,
    toUnixTimestamp64Milli(since), toUnixTimestamp64Milli(changed_at), toUnixTimestamp64Milli(committed_at)
FROM audience_layers
ORDER BY organization_id, audience_id
