-- KEYS[1] who holds a place; ARGV: holder, lease in ms. A holder that was forgotten gets
-- a place that may be one too many, rather than go on uncounted.
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + time[2] / 1000 + tonumber(ARGV[2]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {0, 0}
