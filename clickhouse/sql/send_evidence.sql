-- Why it was decided, a row a filter that counted events; 255 is no filter.
SELECT filter, events, last_at
FROM send_evidence
WHERE organization_id = {organization:UInt64}
  AND run = {run:UInt64}
  AND filter < 255
  AND phone = {phone:UInt64}
  AND phone NOT IN (SELECT phone FROM journal WHERE organization_id = {organization:UInt64} AND phone != 0)
ORDER BY filter
