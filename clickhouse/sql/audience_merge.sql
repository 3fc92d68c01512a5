-- Several layers become an upload again, the first of them first, and that one layer:
-- the way of every other upload, and as little memory.
INSERT INTO audience_uploads (organization_id, layer, phone, priority, external_id)
SELECT organization_id, {into:UInt64}, phone, bitNot(toUInt64(indexOf({layers:Array(UInt64)}, layer))), external_id
FROM audience_leads
WHERE organization_id = {organization:UInt64} AND layer IN {layers:Array(UInt64)}
