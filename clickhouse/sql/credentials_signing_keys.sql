SELECT organization_id, id, name, sealed, master_key_id, created_at, revoked_at, version
FROM signing_keys FINAL
WHERE {organization:UInt64} = 0 OR organization_id = {organization:UInt64}
