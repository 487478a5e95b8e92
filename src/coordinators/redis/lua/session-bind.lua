-- Records that items are bound to the connection of a session, whichever member holds it.
-- KEYS: 1 session, 2 connections that items are bound to
-- ARGV: 1 id, 2 connection
-- Returns: 1; 0 when the session is unknown or has ended
local known = redis.call('HMGET', KEYS[1], 'holder', 'ended')
if not known[1] or known[2] then return 0 end
redis.call('HSET', KEYS[1], 'bound', '1')
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
return 1
