-- Records subscriptions of a member. Without a lease, another member would adopt them at once.
-- KEYS: 1 subscriptions of the member, 2 holders, 3 leases
-- ARGV: 1 member, then id and payload of each subscription
-- Returns: 1, or 0 when the member has no lease
if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then return 0 end
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('SADD', KEYS[2], ARGV[1])
return 1
