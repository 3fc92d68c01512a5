-- Where some spellings stand in an organization's rejects ("spellings" comes with the
-- query, so that no text of a statement shows them).
SELECT batch_id, position
FROM batch_rejects
WHERE organization_id = {organization:UInt64} AND phone IN spellings
