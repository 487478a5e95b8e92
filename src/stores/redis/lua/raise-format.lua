-- Raises the format of the data. It never goes back.
--
-- KEYS  layout (hash)
-- ARGV  format
if redis.call('HGET', KEYS[1], 'format') < ARGV[1] then redis.call('HSET', KEYS[1], 'format', ARGV[1]) end
return 1
