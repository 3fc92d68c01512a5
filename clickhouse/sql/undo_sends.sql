-- The runs of sends that are done or under way, of those whose moment is not before since,
-- each with what it asks.
SELECT c.send_id, c.entry, toUnixTimestamp64Milli(c.as_of), c.entry IN (SELECT run FROM sends WHERE organization_id = {organization:UInt64} AND kind = 'done'), d.audience, d.event_filters
FROM
(
    SELECT send_id, entry, definition, as_of
    FROM sends
    WHERE organization_id = {organization:UInt64} AND kind = 'claimed' AND as_of >= fromUnixTimestamp64Milli({since:Int64})
      AND entry NOT IN (SELECT run FROM sends WHERE organization_id = {organization:UInt64} AND kind = 'failed')
) AS c
INNER JOIN
(
    SELECT send_id, entry, audience, event_filters
    FROM sends
    WHERE organization_id = {organization:UInt64} AND kind = 'defined'
) AS d ON c.send_id = d.send_id AND c.definition = d.entry
