-- Records a session that a process holds. Of a session that is recorded, the leases stay as they are:
-- its process has recorded and removed each of them by itself.
-- KEYS: 1 session, 2 sessions of the member, 3 members that hold sessions, 4 leases of members
-- ARGV: 1 id, 2 member, 3 process of the member, 4 owner, 5 connection,
--       6 '1' when a client is or was connected to this process by it; '': adopted,
--       7 the number of its changes of hands, 0: it is new,
--       8 until when a missing record was lost rather than removed, ms by the clock of this server;
--         '': always, then id and payload of each subscription
-- Returns: {'kept', changes of hands}, {'reclaimed', changes, ids of its subscriptions}: another
--          process had adopted it, {'out'}: the member has no lease, {'taken'}: another process holds
--          it, or {'over'}: it has ended
if not redis.call('ZSCORE', KEYS[4], ARGV[2]) then return {'out'} end
local known = redis.call('HMGET', KEYS[1], 'holder', 'adopted', 'changes', 'ended')
if known[4] then return {'over'} end
local holder = known[1]
local changes = math.max(tonumber(known[3]) or 0, tonumber(ARGV[7]), 1)
local outcome = 'kept'
local found = {}
if not holder then
  if ARGV[8] ~= '' then
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    if now >= tonumber(ARGV[8]) then return {'over'} end
  end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'owner', ARGV[4], 'connection', ARGV[5])
  for i = 9, #ARGV, 2 do
    redis.call('HSET', KEYS[1], 'lease:' .. ARGV[i], ARGV[i + 1])
  end
elseif string.sub(holder, 1, #ARGV[3] + 1) ~= ARGV[3] .. '/' then
  -- Another process may have adopted it while this one was out of touch. Unless a client has taken
  -- it up there, it comes back. After a loss of data, the process that had it last has it.
  local is_later = tonumber(ARGV[7]) > (tonumber(known[3]) or 0)
  if not is_later and (ARGV[6] == '' or known[2] ~= '1') then return {'taken'} end
  changes = changes + 1
  outcome = 'reclaimed'
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 6) == 'lease:' then found[#found + 1] = string.sub(field, 7) end
  end
end
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'adopted', ARGV[6] == '' and '1' or '',
  'changes', changes)
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('SADD', KEYS[3], ARGV[2])
return {outcome, changes, found}
