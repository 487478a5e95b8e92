-- Raises the format of the data. Another process may have raised it further.
--
-- KEYS  layout (hash)
-- ARGV  format, of one digit
-- Returns the format of the data
local format = redis.call('HGET', KEYS[1], 'format') or ''
if format >= ARGV[1] then return format end
redis.call('HSET', KEYS[1], 'format', ARGV[1])
return ARGV[1]
