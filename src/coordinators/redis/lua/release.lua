-- Removes subscriptions of a member.
-- KEYS: 1 subscriptions of the member, 2 holders
-- ARGV: 1 member, then the id of each subscription
-- Returns: 1
for i = 2, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[i])
end
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[1]) end
return 1
