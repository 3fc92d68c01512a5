-- Every spelling of a phone that stands in an organization's rejects, once, and how often.
SELECT phone, count()
FROM batch_rejects
WHERE organization_id = {organization:UInt64} AND isNotNull(phone)
GROUP BY phone
