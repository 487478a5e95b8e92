-- Moves some subscriptions of a member that is gone to another member.
-- KEYS: 1 subscriptions of the member that is gone, 2 of the adopting member, 3 holders, 4 leases
-- ARGV: 1 member that is gone, 2 adopting member, 3 about how many to move
-- Returns: {id, payload, id, payload ...}; empty when none is left, when the first member still has
--          a lease, or when the second has none
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
