-- Leases are made, renewed, ended, or left: those have expired for ever.
INSERT INTO send_leases (organization_id, send_id, run, renewal, parts_done, parts, ended, expires_at)
WITH arrayJoin(arrayZip({organizations:Array(UInt64)}, {sends:Array(String)}, {runs:Array(UInt64)}, {renewals:Array(UInt64)},
    {done:Array(UInt32)}, {parts:Array(UInt32)}, {ended:Array(UInt8)}, {left:Array(UInt8)})) AS lease
SELECT
    lease.1, lease.2, lease.3, lease.4, lease.5, lease.6, lease.7,
    if(lease.8 = 1, toDateTime64(0, 3, 'UTC'), now64(3, 'UTC') + toIntervalMillisecond({milliseconds:UInt64}))
