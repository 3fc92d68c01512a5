-- Every run that has stored something, whatever its age: its log says whether it can
-- go. The group keys are prefixes of the sorting keys, and of columns that are long
-- stretches of one value.
SELECT organization_id, run, toUInt8(1)
FROM
(
    SELECT organization_id, run FROM send_leads GROUP BY organization_id, run
    UNION ALL
    SELECT organization_id, run FROM send_evidence GROUP BY organization_id, run
)
GROUP BY organization_id, run
SETTINGS optimize_aggregation_in_order = 1
