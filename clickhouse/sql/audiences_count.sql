-- How many audiences an organization has: what leadevents.AudienceLog says of each, that its
-- head replaces, or something was added to its head, or it needs none.
SELECT count()
FROM
(
    SELECT
        countIf(replaces OR deleted) AS heads,
        argMaxIf((layer, replaces), (sequence, layer), replaces OR deleted) AS head,
        groupUniqArrayIf(base, NOT (replaces OR deleted)) AS bases
    FROM audience_layers
    WHERE organization_id = {organization:UInt64}
    GROUP BY audience_id
)
WHERE heads = 0 OR head.2 OR has(bases, head.1)
