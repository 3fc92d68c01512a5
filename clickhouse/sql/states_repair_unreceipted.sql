-- As states_repair, but only of rows whose batch has no receipt: it is written when the
-- insert has ended well, the state with the row. At most a million batches are asked
-- for (some 100 MB); rows of more than these are taken as without.
INSERT INTO lead_states (organization_id, event_type, phone, first_at, last_at)
WITH
    fromUnixTimestamp64Milli({from:Int64}) AS occurred_from,
    fromUnixTimestamp64Milli({to:Int64}) AS occurred_to,
    fromUnixTimestamp64Milli({ingested_since:Int64}) AS ingested_since,
    fromUnixTimestamp64Milli({ingested_until:Int64}) AS ingested_until
SELECT organization_id, event_type, phone, min(occurred_at), max(occurred_at)
FROM lead_events
WHERE occurred_at >= occurred_from AND occurred_at < occurred_to
  AND ingested_at >= ingested_since AND ingested_at < ingested_until
  AND (organization_id, batch_id) NOT IN (
    SELECT organization_id, batch_id
    FROM batches
    WHERE (organization_id, batch_id) IN (
        SELECT DISTINCT organization_id, batch_id
        FROM lead_events
        WHERE occurred_at >= occurred_from AND occurred_at < occurred_to
          AND ingested_at >= ingested_since AND ingested_at < ingested_until
        LIMIT 1000000))
GROUP BY organization_id, event_type, phone
