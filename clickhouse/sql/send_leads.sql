-- What a send kept, in the order of the sorting key, which is read as it lies. Who is being
-- erased is not in it any more, from the moment that it was asked for.
SELECT phone, external_id
FROM send_leads
WHERE organization_id = {organization:UInt64}
  AND run = {run:UInt64}
  AND dropped_by = 0
  AND phone NOT IN (SELECT phone FROM journal WHERE organization_id = {organization:UInt64} AND phone != 0)
ORDER BY organization_id, run, phone
