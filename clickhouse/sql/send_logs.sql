-- What the logs of all sends say of runs and lists, one send after the other.
SELECT organization_id, send_id, sequence, entry, kind, phones, list_id, definition, list, run, toUnixTimestamp64Milli(written_at)
FROM sends
ORDER BY organization_id, send_id
SETTINGS optimize_read_in_order = 1
