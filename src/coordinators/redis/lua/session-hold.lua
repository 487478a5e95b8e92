-- Records a subscription of a session.
-- KEYS: 1 session, 2 leases of members
-- ARGV: 1 member, 2 process of the member, 3 id of the subscription, 4 payload
-- Returns: 1, 0 when the member has no lease, -1 when another process holds the session, or it has
--          ended, or -2 when there is no record of it
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
local holder = redis.call('HGET', KEYS[1], 'holder')
if not holder then return -2 end
if string.sub(holder, 1, #ARGV[2] + 1) ~= ARGV[2] .. '/' then return -1 end
redis.call('HSET', KEYS[1], 'lease:' .. ARGV[3], ARGV[4])
return 1
