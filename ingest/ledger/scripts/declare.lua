-- Write the trust record, if the record and the epoch are still those that were
-- examined: of several processes that find the same fault, one writes.
-- KEYS: epoch, trust, beat.  ARGV: expected epoch and record ('' for none), new epoch, record, beat (ms)
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] or (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[4])
if tonumber(redis.call('GET', KEYS[3]) or '0') < tonumber(ARGV[5]) then redis.call('SET', KEYS[3], ARGV[5]) end
return 1
