-- Seal: make each key ours unless somebody sealed it before, all keys of the
-- call in one atomic step, and only in the epoch that was peeked.
--
-- KEYS[1]  epoch key      KEYS[2]  heartbeat      KEYS[3..] buckets (hashes)
-- ARGV[1]  the epoch that was peeked
-- ARGV[2]  earliest and ARGV[3] latest Redis time (ms) at which sealing is allowed:
--          the stamp of the rows less the margin, and that stamp plus the deadline
-- ARGV[4]  shortest life of a sealed key from now, ms (Tshort, or a day for keys of an Idempotency-Key)
-- ARGV[5]  how many keys Redis had evicted when it was examined
-- ARGV[6]  one token for all keys (8 bytes), or '' where each key brings its own
-- then per bucket: n, the time until which its live keys must stay (ms), n fields,
--                  and, only where ARGV[6] is '', n tokens
-- Answer: {status, now, [position, owner]...}; status is OK, EPOCH, LATE, LEAP
-- (the clock went back behind the stamp) or EVICTED. A
-- position counts keys from 1; owner is 8 bytes for "sealed by another", or
-- 9 bytes each ('c' + token) for claims of others that this seal overrode, or an
-- earlier one of the same token: they stay before the token in the value, since who
-- overrode them (a rebuild, a seal whose answer was lost, a process that died) may not
-- have recorded the contests.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'EPOCH', now} end
if now < tonumber(ARGV[2]) then return {'LEAP', now} end
if now > tonumber(ARGV[3]) then return {'LATE', now} end
-- A Redis that evicts does so before a script runs: so this is atomic. About 7 µs.
if string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)') ~= ARGV[5] then return {'EVICTED', now} end
-- The heartbeat is the latest moment that any sealed key may rest on, so a clock
-- that was ahead for a second is known of afterwards.
if tonumber(redis.call('GET', KEYS[2]) or '0') < now then redis.call('SET', KEYS[2], now) end
local least = now + tonumber(ARGV[4])
local shared = ARGV[6]
local answer = {'OK', now}
local a, position = 7, 0
for k = 3, #KEYS do
  local n, expiry = tonumber(ARGV[a]), tonumber(ARGV[a + 1])
  a = a + 2
  local have = redis.call('HMGET', KEYS[k], unpack(ARGV, a, a + n - 1))
  local put, m = {}, 0
  for j = 1, n do
    local token = shared
    if token == '' then token = ARGV[a + n + j - 1] end
    local claims, owner = have[j], nil
    if claims and #claims % 9 == 8 then
      claims, owner = string.sub(claims, 1, -9), string.sub(claims, -8)
    end
    if not claims then
      put[m + 1], put[m + 2] = ARGV[a + j - 1], token
      m = m + 2
    elseif owner and owner ~= token then
      answer[#answer + 1] = position + j
      answer[#answer + 1] = owner
    else
      local others = ''
      for p = 1, #claims, 9 do
        local claim = string.sub(claims, p, p + 8)
        if claim ~= 'c' .. token then others = others .. claim end
      end
      if not owner then
        put[m + 1], put[m + 2] = ARGV[a + j - 1], others .. token
        m = m + 2
      end
      if others ~= '' then
        answer[#answer + 1] = position + j
        answer[#answer + 1] = others
      end
    end
  end
  if m > 0 then redis.call('HSET', KEYS[k], unpack(put)) end
  -- A key stays until max(sealed + Tshort, occurredAt + T); a bucket stays as
  -- long as its longest key. Also for keys that another sealed: whoever asked
  -- within Tshort must find the owner.
  if expiry < least then expiry = least end
  if redis.call('PEXPIRETIME', KEYS[k]) < expiry then
    redis.call('PEXPIREAT', KEYS[k], expiry)
  end
  a = a + n
  if shared == '' then a = a + n end
  position = position + n
end
return answer
