-- Takes all that a call asks for, or nothing.
-- KEYS: two buckets, and who holds a place, by the end of the lease.
-- ARGV: of each bucket its allowance a second (0: not asked), how much is taken, and how
-- much must be left for it; then places (0: none is asked for), holder, lease in ms.
-- Returns which of the three refuses, or 0, and after how many ms to come again.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local left = {}
for i = 1, 2 do
  local rate = tonumber(ARGV[3 * i - 2])
  if rate > 0 then
    local bucket = redis.call('HMGET', KEYS[i], 'left', 'at')
    left[i] = rate
    if bucket[1] then
      left[i] = math.min(rate, tonumber(bucket[1]) + math.max(0, now - tonumber(bucket[2])) * rate / 1000)
    end
    -- A thousandth is forgiven: who comes when told to must not fail by rounding.
    local lacks = tonumber(ARGV[3 * i]) - left[i]
    if lacks > 0.001 then
      return {i, math.ceil(lacks * 1000 / rate)}
    end
  end
end
local places = tonumber(ARGV[7])
if places > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  if redis.call('ZCARD', KEYS[3]) >= places then
    return {3, 0}
  end
  redis.call('ZADD', KEYS[3], now + tonumber(ARGV[9]), ARGV[8])
  redis.call('PEXPIRE', KEYS[3], ARGV[9])
end
for i = 1, 2 do
  local taken = tonumber(ARGV[3 * i - 1])
  if left[i] and taken > 0 then
    local rate = tonumber(ARGV[3 * i - 2])
    redis.call('HSET', KEYS[i], 'left', string.format('%.6f', left[i] - taken), 'at', string.format('%.3f', now))
    -- When it is full again it is as if it were not there.
    redis.call('PEXPIRE', KEYS[i], math.ceil((rate - left[i] + taken) * 1000 / rate) + 1000)
  end
end
return {0, 0}
