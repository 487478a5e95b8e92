-- A page of a group's items in creation order.
--
-- KEYS  state (hash), head, items (hash), order (sorted set)
-- ARGV  revision that created the last item seen, most items, most bytes, time or ''
-- Returns {lineage, number of commits, head, '1' if there are more, clock (see clock_of), then for each
-- item: id, record}
local CHUNK = 64
local after, max_count, max_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local known = redis.call('HMGET', KEYS[1], 'lineage', 'commits', 'began')
local head = redis.call('GET', KEYS[2])
local page = { known[1], known[2], head, '0', clock_of(head, known[3], ARGV[4]) }
local count, bytes = 0, 0
while true do
  local ids = redis.call('ZRANGE', KEYS[4], '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0,
    math.min(CHUNK, max_count - count + 1))
  if #ids == 0 then return page end
  local records = redis.call('HMGET', KEYS[3], unpack(ids))
  for i, id in ipairs(ids) do
    local created, _, _, _, size = struct.unpack(ITEM, records[i])
    if size >= SIZE_AUTHORED then size = size - SIZE_AUTHORED end
    bytes = bytes + size
    if count > 0 and (count >= max_count or bytes > max_bytes) then
      page[4] = '1'
      return page
    end
    count = count + 1
    page[#page + 1] = id
    page[#page + 1] = records[i]
    after = string.format('%.0f', created)
  end
end
