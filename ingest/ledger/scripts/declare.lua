-- Write the trust record, if the epoch is still the one that was examined: of
-- several processes that find the same fault, one writes.
-- KEYS: epoch, trust, beat.  ARGV: expected epoch ('' for none), new epoch, record, beat (ms)
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
if tonumber(redis.call('GET', KEYS[3]) or '0') < tonumber(ARGV[4]) then redis.call('SET', KEYS[3], ARGV[4]) end
return 1
