-- Makes a subscription of a session one of its member only, because it has ended.
-- KEYS: 1 session, 2 subscriptions of the member, 3 members that hold subscriptions,
--       4 leases of members
-- ARGV: 1 member, 2 id of the subscription
-- Returns: 1, 0 when the member has no lease, or -1 when another member holds the session
if not redis.call('ZSCORE', KEYS[4], ARGV[1]) then return 0 end
local known = redis.call('HMGET', KEYS[1], 'holder', 'lease:' .. ARGV[2])
if known[1] and known[1] ~= ARGV[1] then return -1 end
if known[2] then
  redis.call('HSET', KEYS[2], ARGV[2], known[2])
  redis.call('SADD', KEYS[3], ARGV[1])
  redis.call('HDEL', KEYS[1], 'lease:' .. ARGV[2])
end
return 1
