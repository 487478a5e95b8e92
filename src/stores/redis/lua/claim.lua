-- Makes the outbox of a partition accept only settlements with this fence or a later one.
--
-- KEYS  state (hash)
-- ARGV  fence: a number that grows with each owner, then '-' and anything
-- Returns 1, or 0 when a later one has claimed it already: nothing was done
local known = redis.call('HGET', KEYS[1], 'fence') or ''
if number_of(known) > number_of(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'fence', ARGV[1])
return 1
