-- The states of leads of whom rows were removed, by the rows that are there.
INSERT INTO lead_states (organization_id, event_type, phone, first_at, last_at)
SELECT organization_id, event_type, phone, min(occurred_at), max(occurred_at)
FROM lead_events
WHERE organization_id = {organization:UInt64}
  AND event_type IN {types:Array(String)}
  AND (event_type, phone) IN (
      SELECT event_type, phone
      FROM undo_rows
      WHERE organization_id = {organization:UInt64} AND entry IN {entries:Array(UInt64)})
GROUP BY organization_id, event_type, phone
