-- Runs that nobody works at, of all organizations, the oldest first.
SELECT organization_id, send_id, run, renewal, parts_done, parts, ended, CAST(expires_at = toDateTime64(0, 3, 'UTC'), 'Bool') AS left, false AS alive
FROM send_leases FINAL
WHERE NOT ended AND expires_at <= now64(3)
ORDER BY expires_at
LIMIT 100
