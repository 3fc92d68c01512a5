-- How many leads a layer has.
SELECT count()
FROM audience_leads
WHERE organization_id = {organization:UInt64} AND layer = {layer:UInt64}
