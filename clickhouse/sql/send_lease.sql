-- One lease.
SELECT organization_id, send_id, run, renewal, parts_done, parts, ended, CAST(expires_at = toDateTime64(0, 3, 'UTC'), 'Bool') AS left,
    CAST(expires_at > now64(3), 'Bool') AS alive
FROM send_leases FINAL
WHERE organization_id = {organization:UInt64} AND send_id = {send:String} AND run = {run:UInt64}
