-- Makes a subscription of a session one of its member only, because it has ended. What the process
-- that holds the session knows of its subscriptions counts, whatever the record has.
-- KEYS: 1 session, 2 subscriptions of the member, 3 members that hold subscriptions,
--       4 leases of members
-- ARGV: 1 member, 2 process of the member, 3 id of the subscription, 4 payload
-- Returns: 1, also when it was one already, 0 when the member has no lease, -1 when another process
--          holds the session, or it has ended, or -2 when there is no record of it
if not redis.call('ZSCORE', KEYS[4], ARGV[1]) then return 0 end
if redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then return 1 end
local holder = redis.call('HGET', KEYS[1], 'holder')
if not holder then return -2 end
if string.sub(holder, 1, #ARGV[2] + 1) ~= ARGV[2] .. '/' then return -1 end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[1], 'lease:' .. ARGV[3])
return 1
