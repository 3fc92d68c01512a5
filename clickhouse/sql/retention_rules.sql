-- organization = 0 means every one; no organization has that id.
SELECT organization_id, every_type, event_type, days, version
FROM retention FINAL
WHERE {organization:UInt64} = 0 OR organization_id = {organization:UInt64}
