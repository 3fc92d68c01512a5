SELECT organization_id, event_type, phone, toUnixTimestamp64Milli(occurred_at), winner, loser
FROM contested
WHERE occurred_at >= fromUnixTimestamp64Milli({from:Int64})
  AND occurred_at < fromUnixTimestamp64Milli({to:Int64})
