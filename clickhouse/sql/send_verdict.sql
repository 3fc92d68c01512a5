-- What was decided about one lead.
SELECT external_id, dropped_by, passed, listed
FROM send_leads
WHERE organization_id = {organization:UInt64}
  AND run = {run:UInt64}
  AND phone = {phone:UInt64}
  AND phone NOT IN (SELECT phone FROM journal WHERE organization_id = {organization:UInt64} AND phone != 0)
