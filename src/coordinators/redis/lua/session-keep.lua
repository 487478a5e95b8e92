-- Records a session that a member holds, with the leases of its subscriptions.
-- KEYS: 1 session, 2 sessions of the member, 3 members that hold sessions, 4 leases of members
-- ARGV: 1 id, 2 member, 3 process of the member, 4 owner, 5 connection,
--       6 '1' when a client is or was connected to this process by it; '': adopted,
--       then id and payload of each subscription
-- Returns: the number of its changes of hands, 0 when the member has no lease,
--          or -1 when another process holds it
if not redis.call('ZSCORE', KEYS[4], ARGV[2]) then return 0 end
local known = redis.call('HMGET', KEYS[1], 'holder', 'adopted', 'changes')
local holder = known[1]
if holder and string.sub(holder, 1, #ARGV[3] + 1) ~= ARGV[3] .. '/' then
  -- It was adopted while this process was out of touch with the fleet, but nobody has taken it up.
  if ARGV[6] == '' or known[2] ~= '1' then return -1 end
end
local changes = (tonumber(known[3]) or 0) + 1
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'owner', ARGV[4], 'connection', ARGV[5], 'holder', ARGV[2],
  'adopted', ARGV[6] == '' and '1' or '', 'changes', changes)
for i = 7, #ARGV, 2 do
  redis.call('HSET', KEYS[1], 'lease:' .. ARGV[i], ARGV[i + 1])
end
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('SADD', KEYS[3], ARGV[2])
return changes
