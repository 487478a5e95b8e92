-- Moves some sessions of a member that is gone to another member.
-- KEYS: 1 sessions of the member that is gone, 2 of the adopting member, 3 members that hold
--       sessions, 4 leases of members, then the sessions to move
-- ARGV: 1 member that is gone, 2 adopting member, then the ids of the sessions
-- Returns: {id, fields (name, value ...), id, fields ...}, or 0 when the first member still has a
--          lease, or the second has none
if redis.call('ZSCORE', KEYS[4], ARGV[1]) or not redis.call('ZSCORE', KEYS[4], ARGV[2]) then
  return 0
end
local found = {}
for i = 3, #ARGV do
  if redis.call('HGET', KEYS[i + 2], 'holder') == ARGV[1] then
    redis.call('HSET', KEYS[i + 2], 'holder', ARGV[2], 'adopted', '1')
    redis.call('HINCRBY', KEYS[i + 2], 'changes', 1)
    redis.call('SADD', KEYS[2], ARGV[i])
    redis.call('SADD', KEYS[3], ARGV[2])
    found[#found + 1] = ARGV[i]
    found[#found + 1] = redis.call('HGETALL', KEYS[i + 2])
  end
  redis.call('SREM', KEYS[1], ARGV[i])
end
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[3], ARGV[1]) end
return found
