-- Appends one record to the log of a fleet, unless the head has moved since the caller read it.
-- KEYS: 1 head, 2 log, 3 snapshot, 4 leases, 5 acks, 6 beat, 7 channel of changes
-- ARGV: 1-3 lineage, version and token of the expected head ('', '0', '': no log),
--       4-6 lineage, version and token of the new head, 7 entries (JSON),
--       8 member that appends ('': no member), 9 length of a lease in ms,
--       10 members that get a lease (JSON list), 11 members whose lease is removed (JSON list),
--       12 state at the expected version (JSON), to truncate the log to ('': keep the log)
-- Returns: {'ok', time in ms, length of the log}, {'conflict'}, or {'gone'}: the member has no lease
local head = redis.call('HMGET', KEYS[1], 'lineage', 'version', 'token')
if (head[1] or '') ~= ARGV[1] or (head[2] or '0') ~= ARGV[2] or (head[3] or '') ~= ARGV[3] then
  return {'conflict'}
end
local entering = cjson.decode(ARGV[10])
local leaving = cjson.decode(ARGV[11])
if ARGV[8] ~= '' and not redis.call('ZSCORE', KEYS[4], ARGV[8]) then
  local enters = false
  for _, member in ipairs(entering) do
    enters = enters or member == ARGV[8]
  end
  if not enters then return {'gone'} end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local now_text = string.format('%.0f', now)
if ARGV[12] ~= '' then
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[3], 'version', ARGV[2], 'state', ARGV[12])
  -- The record of that version stays: its token identifies members that have read up to it.
  redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2] .. '-0')
end
redis.call('HSET', KEYS[1], 'lineage', ARGV[4], 'version', ARGV[5], 'token', ARGV[6])
redis.call('XADD', KEYS[2], ARGV[5] .. '-0', 'token', ARGV[6], 'at', now_text, 'entries', ARGV[7])
for _, member in ipairs(leaving) do
  redis.call('ZREM', KEYS[4], member)
  redis.call('HDEL', KEYS[5], member)
end
if #entering > 0 then
  local deadline = string.format('%.0f', now + ARGV[9])
  for _, member in ipairs(entering) do
    redis.call('ZADD', KEYS[4], 'NX', deadline, member)
  end
  redis.call('SET', KEYS[6], now_text)
end
redis.call('SPUBLISH', KEYS[7], 'version ' .. ARGV[4] .. ' ' .. ARGV[5])
return {'ok', now, redis.call('XLEN', KEYS[2])}
