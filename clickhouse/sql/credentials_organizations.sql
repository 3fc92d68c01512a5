-- organization = 0 means every one; no organization has that id.
SELECT organization_id, claim, name, auth_mode, replay_tolerance, created_at, version
FROM organizations FINAL
WHERE ({organization:UInt64} = 0 OR organization_id = {organization:UInt64}) AND NOT withdrawn
