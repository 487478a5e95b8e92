-- Some connections that items of one partition are bound to, sorted. Items are read as they lie in the
-- index; those of a connection that are more than a page are skipped.
--
-- KEYS  bound (sorted set of connection, group and item)
-- ARGV  bound of the first, most items to read
-- Returns 1 when there may be more after the last connection or else 0, connection, ...
local members = redis.call('ZRANGE', KEYS[1], ARGV[1], '+', 'BYLEX', 'LIMIT', 0, ARGV[2])
local found = {#members < tonumber(ARGV[2]) and 0 or 1}
local last
for _, member in ipairs(members) do
  local connection = string.match(member, '^[^%z]*')
  if connection ~= last then
    found[#found + 1] = connection
    last = connection
  end
end
return found
