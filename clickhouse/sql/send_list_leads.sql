-- What a stored list names, in the order in which its hash is made.
SELECT phone, external_id
FROM send_lists
WHERE organization_id = {organization:UInt64} AND list = {list:UInt64}
GROUP BY phone, external_id
ORDER BY phone, external_id
