SELECT DISTINCT organization_id
FROM
(
    SELECT DISTINCT organization_id FROM lead_events
    UNION ALL
    SELECT DISTINCT organization_id FROM lead_states
    UNION ALL
    SELECT DISTINCT organization_id FROM batches
)
ORDER BY organization_id
