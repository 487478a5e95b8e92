-- Items of one partition that are bound to some connections.
--
-- KEYS  bound (sorted set of connection, group and item)
-- ARGV  most items of a connection, connection, ...
-- Returns place of a connection among the arguments, from 0, its members, ...; those without items
-- are left out
local found = {}
for i = 2, #ARGV do
  local from, to = '[' .. ARGV[i] .. '\0', '(' .. ARGV[i] .. '\1'
  local members = redis.call('ZRANGE', KEYS[1], from, to, 'BYLEX', 'LIMIT', 0, ARGV[1])
  if #members > 0 then
    found[#found + 1] = i - 2
    found[#found + 1] = members
  end
end
return found
