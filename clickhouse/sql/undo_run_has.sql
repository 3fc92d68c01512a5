-- Whether a send's run asked about a lead of whom batches have stored an event.
SELECT count() > 0
FROM send_leads
WHERE organization_id = {organization:UInt64}
  AND run = {run:UInt64}
  AND phone IN (
      SELECT phone
      FROM lead_events
      WHERE organization_id = {organization:UInt64}
        AND event_type IN {types:Array(String)}
        AND batch_id IN {batches:Array(UInt64)}
        AND ingested_at >= fromUnixTimestamp64Milli({from:Int64})
        AND ingested_at < fromUnixTimestamp64Milli({to:Int64})
      UNION ALL
      SELECT phone
      FROM contested
      WHERE organization_id = {organization:UInt64} AND winner IN {batches:Array(UInt64)})
