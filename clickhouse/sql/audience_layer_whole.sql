-- An upload becomes a layer: of each phone the first row. FINAL reads the upload in
-- phone order and keeps a block of each part (32 MiB for 10 million rows).
INSERT INTO audience_leads (organization_id, layer, phone, external_id)
SELECT organization_id, layer, phone, external_id
FROM audience_uploads FINAL
WHERE organization_id = {organization:UInt64} AND layer = {layer:UInt64}
