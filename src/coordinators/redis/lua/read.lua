-- Reads the records of a fleet's log after a version, or the snapshot and all records after it.
-- KEYS: 1 head, 2 log, 3 snapshot
-- ARGV: 1-3 lineage, version and token that the caller has reached
-- Returns: {kind, time in ms, lineage, version, token, snapshot version, snapshot state, records}.
-- Kinds:
--   'next': the records follow the caller's position
--   'reload': the log was truncated after the caller's position
--   'foreign': the caller's position is not, or no longer, part of this log
-- For 'reload' and 'foreign', the records follow the snapshot, or the beginning ('0', '').
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local head = redis.call('HMGET', KEYS[1], 'lineage', 'version', 'token')
if not head[1] then return {'foreign', now, '', '0', '', '0', '', {}} end
local kind = 'foreign'
if head[1] == ARGV[1] and tonumber(ARGV[2]) <= tonumber(head[2]) then
  local known = redis.call('XRANGE', KEYS[2], ARGV[2] .. '-0', ARGV[2] .. '-0')[1]
  if not known then
    kind = 'reload'
  elseif known[2][2] == ARGV[3] then
    local records = redis.call('XRANGE', KEYS[2], '(' .. ARGV[2] .. '-0', '+')
    return {'next', now, head[1], head[2], head[3], '0', '', records}
  end
end
local snapshot = redis.call('HMGET', KEYS[3], 'version', 'state')
local from = snapshot[1] or '0'
local records = redis.call('XRANGE', KEYS[2], '(' .. from .. '-0', '+')
return {kind, now, head[1], head[2], head[3], from, snapshot[2] or '', records}
