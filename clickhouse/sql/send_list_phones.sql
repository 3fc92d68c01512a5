-- The phones of a stored list, each once, ascending.
SELECT phone
FROM send_lists
WHERE organization_id = {organization:UInt64} AND list = {list:UInt64}
GROUP BY phone
ORDER BY phone
