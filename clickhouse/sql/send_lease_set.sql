-- A lease is made, renewed, given up (for 0 ms) or ended.
INSERT INTO send_leases (organization_id, send_id, run, renewal, parts_done, parts, ended, expires_at)
SELECT
    {organization:UInt64}, {send:String}, {run:UInt64}, {renewal:UInt64}, {done:UInt32}, {parts:UInt32}, {ended:Bool},
    now64(3, 'UTC') + toIntervalMillisecond({milliseconds:UInt64})
