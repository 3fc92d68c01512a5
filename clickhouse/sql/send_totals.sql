-- How many leads were kept, and how many each filter dropped.
SELECT dropped_by, count()
FROM send_leads
WHERE organization_id = {organization:UInt64}
  AND run = {run:UInt64}
GROUP BY dropped_by
