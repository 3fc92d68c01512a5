-- All entries of one send.
SELECT
    sequence, entry, kind, campaign_id, audience, phones, event_filters, toUnixTimestamp64Milli(fire_at),
    list_id, list_mode, list_hash, list_leads, definition, list, run,
    toUnixTimestamp64Milli(as_of), totals, reason, toUnixTimestamp64Milli(written_at)
FROM sends
WHERE organization_id = {organization:UInt64} AND send_id = {send:String}
