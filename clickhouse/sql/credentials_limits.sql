-- organization = 0 means every one; no organization has that id.
SELECT organization_id, limit_name, value, version
FROM organization_limits FINAL
WHERE {organization:UInt64} = 0 OR organization_id = {organization:UInt64}
