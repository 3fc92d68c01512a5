-- Write the trust record, if the record and the epoch are still those that were
-- examined: of several processes that find the same fault, one writes.
-- The heartbeat only grows. What the archive has confirmed goes back with an
-- archive that went back: that is known then. -1 leaves it.
-- KEYS: epoch, trust, beat, archived.  ARGV: expected epoch and record ('' for none), new epoch, record, beat (ms), archived beat
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] or (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[4])
if tonumber(redis.call('GET', KEYS[3]) or '0') < tonumber(ARGV[5]) then redis.call('SET', KEYS[3], ARGV[5]) end
if ARGV[6] ~= '-1' then redis.call('SET', KEYS[4], ARGV[6]) end
return 1
