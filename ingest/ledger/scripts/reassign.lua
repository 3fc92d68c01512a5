-- Give keys that a rebuild set to the loser of a contest to its winner.
-- KEYS[1] epoch   KEYS[2..] buckets   ARGV[1] epoch, then per bucket: n, n fields, n losers, n winners
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'EPOCH', 0} end
local a = 2
for k = 2, #KEYS do
  local n = tonumber(ARGV[a])
  a = a + 1
  for j = 0, n - 1 do
    local value = redis.call('HGET', KEYS[k], ARGV[a + j]) or ''
    if #value % 9 == 8 and string.sub(value, -8) == ARGV[a + n + j] then
      redis.call('HSET', KEYS[k], ARGV[a + j], string.sub(value, 1, -9) .. ARGV[a + 2 * n + j])
    end
  end
  a = a + 3 * n
end
return {'OK', 0}
