-- A number that changes with every write of a credential, or of a limit. It is a sum over all
-- stored rows, not a highest version: clocks of different processes may differ,
-- and a merge may remove as many rows as were written. Without FINAL, so a merge
-- changes it too; that costs a needless reload.
SELECT sum(stamp)
FROM
(
    SELECT sum(cityHash64('organization', *)) AS stamp FROM organizations
    UNION ALL
    SELECT sum(cityHash64('api key', *)) AS stamp FROM api_keys
    UNION ALL
    SELECT sum(cityHash64('signing key', *)) AS stamp FROM signing_keys
    UNION ALL
    SELECT sum(cityHash64('limit', *)) AS stamp FROM organization_limits
)
