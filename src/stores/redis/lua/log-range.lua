-- Which changes the log of a group holds.
--
-- KEYS  state (hash), head, log (list)
-- ARGV  longest age of a change, time or ''
-- Returns {lineage, number of commits, head, number of the oldest changes that are expired and not swept yet,
-- '1' if the log is not that of the head (see repair.lua) or '0'}
local known = redis.call('HMGET', KEYS[1], 'lineage', 'commits')
local head = read_head(KEYS[2])
local oldest_kept, expired = time_of(ARGV[2]) - tonumber(ARGV[1]), 0
local is_torn = not is_log_of(head, KEYS[3])
-- Usually none is expired.
if is_torn then
  expired = head.count
elseif head.oldest < oldest_kept then
  while expired < head.count do
    local _, _, _, time = struct.unpack(CHANGE, redis.call('LINDEX', KEYS[3], expired - head.count))
    if time >= oldest_kept then break end
    expired = expired + 1
  end
end
return { known[1], known[2], redis.call('GET', KEYS[2]), expired, is_torn and '1' or '0' }
