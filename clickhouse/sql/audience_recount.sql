-- How many leads some layers have.
SELECT layer, count()
FROM audience_leads
WHERE organization_id = {organization:UInt64} AND layer IN {layers:Array(UInt64)}
GROUP BY layer
