-- Peek for a request with an Idempotency-Key: read the owners, and leave a claim
-- on every key that nobody has sealed. Whoever seals such a key learns of the
-- claim and records the contest durably before answering; so when the claimant
-- dies and is sent again after Redis lost everything, ClickHouse still knows
-- that the key went to another (doc.go, "Claims").
--
-- KEYS[1] epoch key   KEYS[2..] buckets
-- ARGV[1] the epoch that is known   ARGV[2] how long a claim must stay, ms   ARGV[3] one token for
-- all keys (8 bytes), or '' where each key brings its own
-- ARGV[4] how many keys Redis had evicted when it was examined
-- then per bucket: n, the time until which its live keys must stay (ms), n fields,
--                  and, only where ARGV[3] is '', n tokens
-- Answer: {status, now, epoch, [position, value]...} of keys that are sealed; the last 8 bytes
-- of the value are the owner, before them the claims that its seal overrode.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('GET', KEYS[1])
if epoch ~= ARGV[1] then return {'EPOCH', now, epoch} end
if string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)') ~= ARGV[4] then return {'EVICTED', now, epoch} end
local least = now + tonumber(ARGV[2])
local shared = ARGV[3]
local answer = {'OK', now, epoch}
local a, position = 5, 0
for k = 2, #KEYS do
  local n, expiry = tonumber(ARGV[a]), tonumber(ARGV[a + 1])
  a = a + 2
  local have = redis.call('HMGET', KEYS[k], unpack(ARGV, a, a + n - 1))
  local put, m = {}, 0
  for j = 1, n do
    local owner = have[j]
    local claim = 'c' .. (shared ~= '' and shared or ARGV[a + n + j - 1])
    if not owner then
      put[m + 1], put[m + 2] = ARGV[a + j - 1], claim
      m = m + 2
    elseif #owner % 9 == 8 then
      answer[#answer + 1] = position + j
      answer[#answer + 1] = owner
    else
      local ours = false
      for p = 1, #owner, 9 do ours = ours or string.sub(owner, p, p + 8) == claim end
      if not ours then
        -- 64 dead claims on one key: something is badly wrong, and a value that
        -- grows without a bound would make it worse.
        if #owner >= 576 then return {'CROWDED', now, epoch} end
        put[m + 1], put[m + 2] = ARGV[a + j - 1], owner .. claim
        m = m + 2
      end
    end
  end
  if m > 0 then redis.call('HSET', KEYS[k], unpack(put)) end
  if expiry < least then expiry = least end
  if redis.call('PEXPIRETIME', KEYS[k]) < expiry then
    redis.call('PEXPIREAT', KEYS[k], expiry)
  end
  a = a + n
  if shared == '' then a = a + n end
  position = position + n
end
return answer
