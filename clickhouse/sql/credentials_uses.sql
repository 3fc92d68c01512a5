SELECT key_id, max(last_used_at), sum(uses)
FROM key_uses
WHERE organization_id = {organization:UInt64}
GROUP BY key_id
