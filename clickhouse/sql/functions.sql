-- What can be called on this server: what nobody has judged is refused.
SELECT name
FROM system.functions
