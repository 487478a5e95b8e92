-- Hands some of the subscriptions of a member that is gone to another one.
-- KEYS: 1 what the one who is gone held, 2 what the other one holds, 3 holders, 4 leases
-- ARGV: 1 member that is gone, 2 the other one, 3 about how many
-- Returns: {id, payload, id, payload ...}; empty when none is left, the first lives, or the other does not
if redis.call('ZSCORE', KEYS[4], ARGV[1]) or not redis.call('ZSCORE', KEYS[4], ARGV[2]) then
  return {}
end
local found = {}
local cursor = '0'
repeat
  local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', ARGV[3])
  cursor = page[1]
  found = page[2]
until #found > 0 or cursor == '0'
for i = 1, #found, 2 do
  redis.call('HSET', KEYS[2], found[i], found[i + 1])
  redis.call('HDEL', KEYS[1], found[i])
end
if #found > 0 then redis.call('SADD', KEYS[3], ARGV[2]) end
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[3], ARGV[1]) end
return found
