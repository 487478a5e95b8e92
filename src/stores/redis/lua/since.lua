-- Changes of a group after a revision, oldest first.
--
-- KEYS  state (hash), head, log (list)
-- ARGV  epoch, revision, most changes, most bytes, time or ''
-- Returns {lineage, number of commits, head, time, then the changes}: none when the position is not of this history, or
-- the log begins later
local CHUNK = 32
local from, max_count, max_bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local known = redis.call('HMGET', KEYS[1], 'lineage', 'commits')
local lineage = known[1]
local head = read_head(KEYS[2])
local result = { lineage, known[2], redis.call('GET', KEYS[2]), time_of(ARGV[5]) }
local index = from - (head.revision - head.count)
local is_known = ARGV[1] == epoch_of(head, lineage) or (ARGV[1] == '' and from == 0)
if not is_known or index < 0 then return result end
local count, bytes = 0, 0
while index < head.count do
  local last = index + math.min(CHUNK, max_count - count) - 1
  local records = redis.call('LRANGE', KEYS[3], index, math.max(index, last))
  for _, record in ipairs(records) do
    local _, _, _, _, size = struct.unpack(CHANGE, record)
    bytes = bytes + size
    if count > 0 and (count >= max_count or bytes > max_bytes) then return result end
    count = count + 1
    result[#result + 1] = record
  end
  if count >= max_count then return result end
  index = index + #records
end
return result
