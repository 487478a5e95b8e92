-- Fences a writer for good: its commands that have not run yet are refused, and so are later ones.
--
-- KEYS  state (hash), gone (sorted set)
-- ARGV  writer's name; '1' to remember it, so it can never register again
local HOUR = 3600
redis.call('HDEL', KEYS[1], 'w:' .. ARGV[1])
if ARGV[2] == '1' then
  local now = tonumber(redis.call('TIME')[1])
  redis.call('ZADD', KEYS[2], now, ARGV[1])
  -- No process pauses for this long between getting its name and registering.
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - HOUR)
end
return 1
