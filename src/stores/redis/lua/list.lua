-- A page of a group's items in creation order, or from the newest.
--
-- KEYS  state (hash), head, items (hash), order (sorted set)
-- ARGV  revision that created the last item seen or '' for the first page, most items, most bytes, time or '',
--       '1' from the newest or '0', and for the first page of a window in creation order: its size, otherwise ''
-- Returns {lineage, number of commits, head, '1' if there are more, clock (see clock_of),
-- '1' if the keys do not agree (see repair.lua) or '0', then for each item: id, record}
local CHUNK = 64
local after, max_count, max_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local descending = ARGV[5] == '1'
if after == '' then after = descending and '+inf' or '0' end
if ARGV[6] ~= '' then
  local older = -tonumber(ARGV[6]) - 1
  after = redis.call('ZRANGE', KEYS[4], older, older, 'WITHSCORES')[2] or after
end
local known = redis.call('HMGET', KEYS[1], 'lineage', 'commits', 'began')
local head = redis.call('GET', KEYS[2])
local total = redis.call('HLEN', KEYS[3])
local is_torn = total ~= redis.call('ZCARD', KEYS[4])
  or total ~= (head and select(4, struct.unpack('>dddd', head)) or 0)
local page = { known[1], known[2], head, '0', clock_of(head, known[3], ARGV[4]), is_torn and '1' or '0' }
local count, bytes = 0, 0
while true do
  local most = math.min(CHUNK, max_count - count + 1)
  local ids = descending
    and redis.call('ZRANGE', KEYS[4], '(' .. after, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, most)
    or redis.call('ZRANGE', KEYS[4], '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, most)
  if #ids == 0 then return page end
  local records = redis.call('HMGET', KEYS[3], unpack(ids))
  for i, id in ipairs(ids) do
    local record = records[i]
    if not record then
      page[6] = '1'
    else
      bytes = bytes + read_item(record)
      if count > 0 and (count >= max_count or bytes > max_bytes) then
        page[4] = '1'
        return page
      end
      count = count + 1
      page[#page + 1] = id
      page[#page + 1] = record
    end
  end
  -- The revision that created the last one.
  after = redis.call('ZSCORE', KEYS[4], ids[#ids])
end
