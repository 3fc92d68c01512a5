-- Give keys of an undone batch up: a key leaves only where its owner is the batch that it
-- is given up for. Claims before the owner's token go with it: that batch overrode them,
-- and has recorded it.
-- KEYS[1] epoch   KEYS[2..] buckets   ARGV[1] epoch, then per bucket: n, n fields, n tokens
-- Answer: {status, how many left}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'EPOCH', 0} end
local a, left = 2, 0
for k = 2, #KEYS do
  local n = tonumber(ARGV[a])
  a = a + 1
  local have = redis.call('HMGET', KEYS[k], unpack(ARGV, a, a + n - 1))
  local gone = {}
  for j = 1, n do
    local value = have[j]
    if value and #value % 9 == 8 and string.sub(value, -8) == ARGV[a + n + j - 1] then
      gone[#gone + 1] = ARGV[a + j - 1]
    end
  end
  if #gone > 0 then left = left + redis.call('HDEL', KEYS[k], unpack(gone)) end
  a = a + 2 * n
end
return {'OK', left}
