-- What explains differences of an organization: how many events of erased leads there were
-- (of a pass that was done twice the most counts), and which leads are being erased.
SELECT
    (
        SELECT sum(most)
        FROM
        (
            SELECT max(counts['events']) AS most
            FROM journal
            WHERE organization_id = {organization:UInt64} AND kind = 'erase' AND step = 'collected'
            GROUP BY entry, pass
        )
    ),
    (SELECT groupUniqArray(phone) FROM journal WHERE organization_id = {organization:UInt64} AND phone != 0),
    (
        SELECT uniqExact(entry)
        FROM journal
        WHERE organization_id = {organization:UInt64} AND kind != 'erase'
          AND entry NOT IN (SELECT entry FROM journal WHERE organization_id = {organization:UInt64} AND step = 'verified')
    ),
    (SELECT max(every_type) FROM retention WHERE organization_id = {organization:UInt64} AND days != 0),
    (SELECT groupUniqArray(CAST(event_type, 'String')) FROM retention WHERE organization_id = {organization:UInt64} AND NOT every_type AND days != 0)
