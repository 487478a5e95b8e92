-- Records a subscription of a session.
-- KEYS: 1 session, 2 leases of members
-- ARGV: 1 member, 2 id of the subscription, 3 payload
-- Returns: 1, 0 when the member has no lease, or -1 when it does not hold the session
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return -1 end
redis.call('HSET', KEYS[1], 'lease:' .. ARGV[2], ARGV[3])
return 1
