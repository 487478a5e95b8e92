-- Records that items are bound to the connection of a session, whichever member holds it.
-- KEYS: 1 session, 2 connections that items are bound to
-- ARGV: 1 id, 2 connection
-- Returns: 1, or 0 when there is no such session
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'bound', '1')
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
return 1
