-- How much there is of the phones that entries name, by table: what a pass removes, and
-- what must be nothing after the last. lead_events is read by its phone column alone, all
-- of the organization's (200 ms for 100 million rows); of the others phone is in the key,
-- or they are small. Rows of one key count once, however many merges have left. layer and
-- list are what is to be counted anew.
WITH phones AS (SELECT phone FROM journal WHERE organization_id = {organization:UInt64} AND entry IN {entries:Array(UInt64)} AND phone != 0)
SELECT 'events' AS what, phone, 0::UInt64 AS owner, uniqExact(event_type, occurred_at) AS n
FROM lead_events WHERE organization_id = {organization:UInt64} AND phone IN (SELECT phone FROM phones) GROUP BY phone
UNION ALL
SELECT 'states', phone, 0, uniqExact(event_type)
FROM lead_states WHERE organization_id = {organization:UInt64} AND phone IN (SELECT phone FROM phones) GROUP BY phone
UNION ALL
SELECT 'audienceLeads', phone, layer, count()
FROM audience_leads WHERE organization_id = {organization:UInt64} AND phone IN (SELECT phone FROM phones) GROUP BY phone, layer
UNION ALL
SELECT 'uploadRows', phone, 0, uniqExact(layer)
FROM audience_uploads WHERE organization_id = {organization:UInt64} AND phone IN (SELECT phone FROM phones) GROUP BY phone
UNION ALL
SELECT 'listLeads', phone, list, count()
FROM send_lists WHERE organization_id = {organization:UInt64} AND phone IN (SELECT phone FROM phones) GROUP BY phone, list
UNION ALL
SELECT 'sendLeads', phone, 0, count()
FROM send_leads WHERE organization_id = {organization:UInt64} AND phone IN (SELECT phone FROM phones) GROUP BY phone
UNION ALL
SELECT 'sendEvidence', phone, 0, count()
FROM send_evidence WHERE organization_id = {organization:UInt64} AND phone IN (SELECT phone FROM phones) GROUP BY phone
UNION ALL
SELECT 'contests', phone, 0, uniqExact(loser, event_type, occurred_at)
FROM contested WHERE organization_id = {organization:UInt64} AND phone IN (SELECT phone FROM phones) GROUP BY phone
