-- Shuts a writer out for good: what it has sent and was not run yet is refused, and so is what it sends.
--
-- KEYS  state (hash), gone (sorted set)
-- ARGV  writer's name; '1' to remember it, so that it is not let in again either
local HOUR = 3600
redis.call('HDEL', KEYS[1], 'w:' .. ARGV[1])
if ARGV[2] == '1' then
  local now = tonumber(redis.call('TIME')[1])
  redis.call('ZADD', KEYS[2], now, ARGV[1])
  -- Nobody stands still for so long between being named and being let in.
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - HOUR)
end
return 1
