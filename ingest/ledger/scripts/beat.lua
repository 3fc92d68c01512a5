-- Heartbeat: the latest moment (ms) this Redis surely lived through, and the
-- latest heartbeat that the archive has confirmed. Both only grow, and only in
-- the epoch of the caller, so what survives a fault bounds what survived.
-- KEYS: epoch, beat, archived.  ARGV: epoch, archived beat or 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if tonumber(redis.call('GET', KEYS[2]) or '0') < now then redis.call('SET', KEYS[2], now) end
if tonumber(redis.call('GET', KEYS[3]) or '0') < tonumber(ARGV[2]) then redis.call('SET', KEYS[3], ARGV[2]) end
return now
