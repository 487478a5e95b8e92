-- Items of one partition that are bound to connections.
--
-- KEYS  bound (sorted set of connection, group and item)
-- ARGV  most items of each connection, then the bounds of each: of the first and of the last item
-- Returns the items of each connection, in the order of the connections
local found = {}
for i = 2, #ARGV, 2 do
  found[i / 2] = redis.call('ZRANGE', KEYS[1], ARGV[i], ARGV[i + 1], 'BYLEX', 'LIMIT', 0, ARGV[1])
end
return found
