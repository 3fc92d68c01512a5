SELECT organization_id, id, name, sha256, scopes, created_at, expires_at, revoked_at, version
FROM api_keys FINAL
WHERE {organization:UInt64} = 0 OR organization_id = {organization:UInt64}
