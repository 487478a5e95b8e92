-- Connections that items of one partition are bound to, sorted.
--
-- KEYS  bound (sorted set of connection, group and item)
-- ARGV  bound of the first, most connections
local found = {}
local from = ARGV[1]
while #found < tonumber(ARGV[2]) do
  local first = redis.call('ZRANGE', KEYS[1], from, '+', 'BYLEX', 'LIMIT', 0, 1)[1]
  if not first then break end
  local connection = string.match(first, '^[^%z]*')
  found[#found + 1] = connection
  from = '(' .. connection .. '\1'
end
return found
